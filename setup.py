"""Packaging: version ranges, extras, the console script. requirements.lock holds what was tested together."""

import pathlib

import setuptools

_README = pathlib.Path(__file__).with_name("README.md")

REQUIRED = [
    "tensorflow>=2.21,<2.22",
    "keras>=3.15,<4",
    "tensorflow-datasets>=4.9.9,<5",  # the embedded dataset is a TFDS builder
    "importlib-resources",  # TFDS imports it to prepare a dataset and does not ask for it
    "numpy>=2,<3",
    "absl-py>=1.4",  # flags; TFX 1.21 itself still needs absl-py below 2
    "pillow>=11",  # headers and pixels of JPEG and PNG files without TensorFlow's 10 s import
    "hotcoco>=1.3,<2",  # COCO metrics: pycocotools' numbers at a hundredth of its time
    "google-crc32c",  # checksums of TFRecords, so that Beam's workers write them without TensorFlow
    "matplotlib>=3.9",  # plots of `ssd-tuner data stats`
    "pyyaml>=6",  # data.yaml of YOLO datasets
    "psutil>=6",  # the size of the training process, on every system
    "rich>=13",  # progress line and tables of the command line
]

EXTRAS = {
    # The search and the pipeline: `run` and `kubeflow`. Without it there are `predict`, `evaluate`, `export`, `data`,
    # `plan`, `settings` and the imports, on machines that only use a model.
    "pipeline": [
        "keras-tuner>=1.4.8,<2",
        "tfx>=1.21,<1.22",
        "tensorboard>=2.20",  # TensorFlow 2.21 no longer brings it
        "scipy>=1.13",  # linear algebra and optimisation of the searches' Gaussian process
        "optuna>=4,<6",  # its samplers as search strategies, `optuna:tpe` and others
        "cmaes>=0.11",  # what Optuna's CMA-ES asks for, `optuna:cmaes`
        "scikit-learn>=1.5",  # the forest that `ssd-tuner importance` fits to a search's trials
        "plotly>=6,<7",  # interactive figures of the report; its JavaScript goes into the file, so it opens offline
        "jinja2>=3.1",  # the report's page; it escapes what comes from the data
    ],
    # Runs, trials and models in an MLflow tracking store.
    "mlflow": ["mlflow>=3,<4"],
    # The search in Optuna's own dashboard: `ssd-tuner board --optuna`.
    "dashboard": ["optuna-dashboard>=0.17"],
    # Trials on a cluster: `run --ray`. `default` brings the job server that `ray job submit` and KubeRay ask.
    "ray": ["ray[default]>=2.55,<3"],
    # CUDA and cuDNN as wheels, for machines with an NVIDIA driver and no CUDA of their own.
    "gpu": ["tensorflow[and-cuda]>=2.21,<2.22"],
    # Compiler and client of Kubeflow Pipelines v2: what TFX's own extra asks for, which is empty above Python 3.11.
    "kubeflow": [
        "kfp>=2.16,<2.17",
        "kfp-pipeline-spec>=2.16,<2.17",
        "kfp-kubernetes>=2.16,<2.17",  # the document of volumes, GPUs and secrets; with kfp, as both write one package
    ],
    # Tests, lint, types, docs, notebooks, and pycocotools as the reference that metrics and benchmarks compare with.
    "dev": [
        "hypothesis",
        "jax",  # the second backend that models are checked on
        "ipykernel",
        "moto[s3]>=5",  # an S3 server for the tests; its extra `server` is all of AWS
        "flask",  # what that server runs on
        "flask-cors",
        "distributed",  # Dask's cluster, on which Beam's ingestion is tried
        "boto3",  # the client that copies artifacts there, as KFP's launcher does
        "nbclient",
        "nbformat",
        "mkdocs",
        "mkdocs-api-autonav",  # a page of the API reference for each module
        "mkdocstrings[python]",
        "mypy",
        "pycocotools",
        "pytest",
        "pytest-xdist",
        "ruff",
        "scikit-learn",  # the Gaussian process of Keras Tuner's Bayesian optimisation, for `benchmarks/search.py`
    ],
}

setuptools.setup(
    name="ssd-tuner",
    version="0.1.0",
    description="Finds good hyperparameters for a MobileNet-SSD object detector on your images, trains it, and exports"
    " the model if it is good enough.",
    long_description=_README.read_text(encoding="utf-8") if _README.exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    keywords=["object detection", "hyperparameter tuning", "SSD", "MobileNet", "Keras Tuner", "TFX"],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in (11, 12, 13)),
        "Topic :: Scientific/Engineering :: Image Recognition",
        "Typing :: Typed",
    ],
    python_requires=">=3.11,<3.14",  # Keras 3.15 needs 3.11; TFX's libraries have wheels up to 3.13
    packages=setuptools.find_packages(
        include=[f"{name}{tail}" for name in ("data", "models", "tuner_fn", "pipeline") for tail in ("", ".*")]
    ),
    package_data={
        **{name: ["py.typed"] for name in ("data", "models", "tuner_fn", "pipeline")},
        "pipeline.report": ["templates/*"],
    },
    install_requires=REQUIRED,
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["ssd-tuner = pipeline.cli.main:entry_point"]},
)
