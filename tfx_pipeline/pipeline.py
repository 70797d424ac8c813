"""The pipeline's definition: nodes and their wiring, for any orchestrator."""

from __future__ import annotations

import os

from ml_metadata.proto import metadata_store_pb2

# The modules themselves: `tfx.v1` also imports every cloud extension, which takes as long as all the rest.
from tfx.components import InfraValidator, StatisticsGen
from tfx.dsl.components.common.resolver import Resolver
from tfx.dsl.input_resolution.strategies.latest_blessed_model_strategy import LatestBlessedModelStrategy
from tfx.orchestration.pipeline import Pipeline
from tfx.proto import infra_validator_pb2, pusher_pb2
from tfx.types import standard_artifacts
from tfx.types.channel import Channel

from h2rec_tf import names
from h2rec_tf.config import Config
from tfx_pipeline import constants
from tfx_pipeline.components.evaluation import eval_config
from tfx_pipeline.components.example_validator import StrictExampleValidator
from tfx_pipeline.components.index_builder import IndexBuilder
from tfx_pipeline.components.index_evaluator import IndexEvaluator
from tfx_pipeline.components.interaction_example_gen import interaction_example_gen
from tfx_pipeline.components.item_example_gen import item_example_gen
from tfx_pipeline.components.model_evaluator import ModelEvaluator
from tfx_pipeline.components.pusher import NewestPusher
from tfx_pipeline.components.report_gen import ReportGen
from tfx_pipeline.components.schema_gen import SequenceSchemaGen
from tfx_pipeline.components.semantic_id_gen import SemanticIdGen
from tfx_pipeline.components.served_model import ServedModel
from tfx_pipeline.components.serving_image import serving_image
from tfx_pipeline.components.trainer import SequenceTrainer
from tfx_pipeline.components.transform import SequenceTransform
from tfx_pipeline.components.tuner import SequenceTuner
from tfx_pipeline.components.vertex_pusher import VertexPusher
from tfx_pipeline.components.warm_start_strategy import WarmStartStrategy

PREPROCESSING_FN = "tfx_pipeline.user_code.preprocessing.preprocessing_fn"
RUN_FN = "tfx_pipeline.user_code.trainer.run_fn"


def create_pipeline(
    *,
    pipeline_name: str,
    pipeline_root: str,
    interactions: str,
    items: str,
    embeddings: str,
    config: Config,
    serving_dir: str,
    metadata_connection: metadata_store_pb2.ConnectionConfig | None = None,
    beam_pipeline_args: list[str] | None = None,
    interactions_fingerprint: str = "",
    items_fingerprint: str = "",
    enable_cache: bool = True,
    stock_resolvers: bool = False,
    infra_validation: bool = False,
    docker_host: str = "",
    baseline_from_serving: bool = False,
    vertex_push: bool = False,
) -> Pipeline:
    """Wires the pipeline; reads no file and starts nothing.

    Args:
        pipeline_name: name in the metadata store.
        pipeline_root: directory of all artifacts.
        interactions: path or span pattern (as `day-{SPAN}.csv`) of the interactions.
        items: path of the items file.
        embeddings: path of given item vectors, or "".
        config: the whole configuration; each node gets the sections it reads, so that others may change without it
            running again.
        serving_dir: where blessed models are pushed, each to its own version directory.
        metadata_connection: the metadata store; orchestrators that bring their own need none.
        beam_pipeline_args: flags of the Beam runner.
        interactions_fingerprint: of the file's content; TFX itself looks at size and second of change only.
        items_fingerprint: of the contents of the items file and the embeddings.
        enable_cache: reuses a node's outputs when its inputs and settings are equal.
        stock_resolvers: uses TFX's own resolver strategies alone, as Kubeflow asks for. A warm start then goes on from
            the last blessed model even where the data did not change.
        infra_validation: adds TFX's InfraValidator, which loads the model in `config.gate.infra_validation_image`; it
            needs a Docker daemon.
        docker_host: URL of that daemon; "" is its usual socket.
        baseline_from_serving: takes the newest model of `serving_dir`, the last that was blessed, as the baseline:
            for orchestrators that cannot look artifacts up.
        vertex_push: deploys a pushed model to a Vertex AI endpoint, as `config.cloud.push` says.
    """
    sections = config.to_dict()
    # The catalogue: titles, texts and given vectors.
    item_gen = item_example_gen(
        items=items, embeddings=embeddings, data=sections["data"], fingerprint=items_fingerprint
    )
    # One example a user and split: history, and in held-out splits what came next.
    example_gen = interaction_example_gen(
        interactions=interactions,
        items=item_gen.outputs["examples"],
        data=sections["data"],
        fingerprint=interactions_fingerprint,
    )
    # Statistics of each split.
    statistics_gen = StatisticsGen(examples=example_gen.outputs["examples"])
    # Types and presence of the features.
    schema_gen = SequenceSchemaGen(statistics=statistics_gen.outputs["statistics"], infer_feature_shape=False).with_id(
        constants.SCHEMA_GEN
    )
    # Stops the run where a split does not fit the schema.
    validator = StrictExampleValidator(
        statistics=statistics_gen.outputs["statistics"],
        schema=schema_gen.outputs["schema"],
        items=item_gen.outputs["examples"],
        root=pipeline_root,
        limits=sections["validation"],
    ).with_id(constants.EXAMPLE_VALIDATOR)
    # Codes of every item, from text or vectors.
    semantic_id_gen = SemanticIdGen(
        items=item_gen.outputs["examples"],
        root=pipeline_root,
        text=sections["text"],
        quantizer=sections["quantizer"],
        codebooks=sections["codebooks"],
        seed=config.training.seed,
    )
    # Item ids to indices; popularity on the training split.
    transform = SequenceTransform(
        examples=example_gen.outputs["examples"],
        schema=schema_gen.outputs["schema"],
        semantic_ids=semantic_id_gen.outputs[constants.SEMANTIC_IDS],
        preprocessing_fn=PREPROCESSING_FN,
        analyze=[names.TRAIN],
        transform=list(names.SPLITS),
    ).with_id(constants.TRANSFORM)
    transform.add_upstream_node(validator)
    # Hyperparameters, where a search is asked for.
    kept = os.path.join(pipeline_root, constants.CHECKPOINTS)
    tuners = []
    if config.tuner.enabled:
        tuner = SequenceTuner(
            examples=transform.outputs["transformed_examples"],
            semantic_ids=semantic_id_gen.outputs[constants.SEMANTIC_IDS],
            config=config,
            kept=kept,
        ).with_id(constants.TUNER)
        tuners.append(tuner)
    # The last model that was blessed, to compare with.
    if baseline_from_serving:
        baseline = ServedModel(serving_dir=serving_dir).with_id(constants.BASELINE_RESOLVER)
    else:
        baseline = Resolver(
            strategy_class=LatestBlessedModelStrategy,
            model=Channel(type=standard_artifacts.Model),
            model_blessing=Channel(type=standard_artifacts.ModelBlessing),
        ).with_id(constants.BASELINE_RESOLVER)
    resolvers, start = [baseline], baseline
    # A served model has no trained weights beside it to go on from.
    warm_start = config.training.warm_start and not baseline_from_serving
    # The model that training begins with.
    if warm_start and not stock_resolvers:
        start = Resolver(
            strategy_class=WarmStartStrategy,
            model=Channel(type=standard_artifacts.Model),
            model_blessing=Channel(type=standard_artifacts.ModelBlessing),
            examples=transform.outputs["transformed_examples"],
        ).with_id(constants.WARM_START_RESOLVER)
        resolvers.append(start)
    # The model with its signatures.
    trainer = SequenceTrainer(
        examples=transform.outputs["transformed_examples"],
        transform_graph=transform.outputs["transform_graph"],
        semantic_ids=semantic_id_gen.outputs[constants.SEMANTIC_IDS],
        run_fn=RUN_FN,
        train_splits=[names.TRAIN],
        eval_splits=[names.VALIDATION],
        custom_config={
            constants.CONFIG: {key: sections[key] for key in ("model", "loss", "training", "evaluation", "serving")},
            constants.CHECKPOINTS: kept,
        },
        hyperparameters=tuners[0].outputs["best_hyperparameters"] if tuners else None,
        base_model=start.outputs["model"] if warm_start else None,
    ).with_id(constants.TRAINER)
    # Metrics by slice on the test split, the comparison with baselines, and the blessing.
    evaluator = ModelEvaluator(
        examples=example_gen.outputs["examples"],
        transformed_examples=transform.outputs["transformed_examples"],
        transform_graph=transform.outputs["transform_graph"],
        model=trainer.outputs["model"],
        baseline_model=baseline.outputs["model"],
        example_splits=[names.TEST],
        eval_config=eval_config(metrics=constants.evaluate_outputs(config.evaluation.ks), gate=config.gate),
        gate=sections["gate"],
        head_fraction=config.evaluation.head_fraction,
        seen=config.serving.seen,
    ).with_id(constants.EVALUATOR)
    # The index over the model's item vectors.
    index_builder = IndexBuilder(model=trainer.outputs["model"], index=sections["index"])
    # Recall and time of the index with the validation split's users, and its blessing.
    index_evaluator = IndexEvaluator(
        index=index_builder.outputs[constants.INDEX],
        model=trainer.outputs["model"],
        examples=transform.outputs["transformed_examples"],
        settings=sections["index"],
        seed=config.evaluation.seed,
    )
    # One page about the model.
    report_gen = ReportGen(
        model=trainer.outputs["model"],
        model_run=trainer.outputs["model_run"],
        examples=transform.outputs["transformed_examples"],
        evaluation=evaluator.outputs["evaluation"],
        index_blessing=index_evaluator.outputs["blessing"],
    )
    # Whether a server as it runs in production loads the model.
    infra_validator = InfraValidator(
        model=trainer.outputs["model"],
        serving_spec=infra_validator_pb2.ServingSpec(
            tensorflow_serving=serving_image(config.gate.infra_validation_image),
            # Said outright: TFX does not look at DOCKER_HOST.
            local_docker=infra_validator_pb2.LocalDockerConfig(client_base_url=docker_host),
        ),
        # A server that cannot load its model ends, and TFX asks on until the time is up: 25 minutes by its defaults.
        validation_spec=infra_validator_pb2.ValidationSpec(num_tries=2, max_loading_time_seconds=120),
    )
    # What all validators blessed becomes the newest version to serve.
    pusher = NewestPusher(
        model=trainer.outputs["model"],
        model_blessing=evaluator.outputs["blessing"],
        evaluation=evaluator.outputs["evaluation"],
        index=index_builder.outputs[constants.INDEX],
        index_blessing=index_evaluator.outputs["blessing"],
        infra_blessing=infra_validator.outputs["blessing"] if infra_validation else None,
        push_destination=pusher_pb2.PushDestination(
            filesystem=pusher_pb2.PushDestination.Filesystem(base_directory=serving_dir)
        ),
    ).with_id(constants.PUSHER)
    # What was pushed also becomes a model and a deployment on Vertex AI.
    vertex_pusher = [VertexPusher(pushed_model=pusher.outputs["pushed_model"], cloud=sections["cloud"])]
    return Pipeline(
        pipeline_name=pipeline_name,
        pipeline_root=pipeline_root,
        components=[
            item_gen,
            example_gen,
            statistics_gen,
            schema_gen,
            validator,
            semantic_id_gen,
            transform,
            *tuners,
            *resolvers,
            trainer,
            evaluator,
            index_builder,
            index_evaluator,
            report_gen,
            *([infra_validator] if infra_validation else []),
            pusher,
            *(vertex_pusher if vertex_push else []),
        ],
        enable_cache=enable_cache,
        metadata_connection_config=metadata_connection,
        beam_pipeline_args=beam_pipeline_args or [],
    )
