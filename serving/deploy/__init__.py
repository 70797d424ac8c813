"""Where and how a model is served: Vertex AI from here, images and manifests in the folders beside."""
