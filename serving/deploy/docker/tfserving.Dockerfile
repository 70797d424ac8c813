# TensorFlow Serving with the pushed versions inside. The build context is a pipeline's root, which has `serving/`:
#   docker build -f serving/deploy/docker/tfserving.Dockerfile -t h2rec-tfserving runs/shop
FROM tensorflow/serving:2.16.1

ENV MODEL_NAME=h2rec
COPY serving /models/h2rec
USER 10001
EXPOSE 8500 8501
