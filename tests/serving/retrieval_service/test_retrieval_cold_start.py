"""A text that nobody trained on becomes an item that the right users find at once: trained, exported, served."""

import random

import numpy as np
import pytest
from support import holdout_of, tiny_config

from h2rec_tf.data.sequences import Catalogue, Dataset, Sequences
from h2rec_tf.export import export_model, serving_model
from h2rec_tf.export.saved import exported_text_encoder
from h2rec_tf.semantic_ids import build_semantic_ids
from h2rec_tf.training.configured import train_configured
from serving.client import ServerError
from serving.retrieval_service.client import RetrievalClient
from serving.retrieval_service.options import RetrievalOptions
from serving.retrieval_service.server import RetrievalServer
from serving.server.model_server import ModelServer
from serving.server.options import ServerOptions

TOPICS = {
    "shoes": ["running", "shoes", "sport", "trail", "laces", "sole", "sneaker", "marathon"],
    "pans": ["kitchen", "frying", "pan", "cook", "stove", "lid", "steel", "recipe"],
}
EACH = 20


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> str:
    """A model of two topics of 20 items each, whose users stay within one."""
    generator = random.Random(0)
    ids = [f"{topic} {number}" for topic in TOPICS for number in range(EACH)]
    texts = [" ".join(generator.choices(words, k=6)) for words in TOPICS.values() for _ in range(EACH)]
    catalogue = Catalogue(*(np.asarray(column, object) for column in (ids, [f"Title {item}" for item in ids], texts)))

    def histories(users: int) -> Sequences:
        starts = [generator.choice((1, EACH + 1)) for _ in range(users)]
        return Sequences.from_lists([[start + generator.randrange(EACH) for _ in range(6)] for start in starts])

    train = histories(200)
    dataset = Dataset(catalogue, train, holdout_of(histories(40)), holdout_of(histories(40)))
    config = tiny_config(**{"training.epochs": 4, "training.batch_size": 32, "quantizer.levels": 2})
    semantic_ids = build_semantic_ids(catalogue, text=config.text, quantizer=config.quantizer)
    model = train_configured(config, semantic_ids, dataset.train, dataset.validation).model
    directory = tmp_path_factory.mktemp("exported") / "1"
    export_model(serving_model(model, semantic_ids, dataset.popularity, config), str(directory))
    return str(directory.parent)


@pytest.mark.slow  # Trains, exports and serves a model.
def test_a_new_text_is_found_by_the_users_of_its_topic(exported, tmp_path):
    catalogue = [f"{topic} {number}" for topic in TOPICS for number in range(EACH)]
    users = [["shoes 1", "shoes 5", "shoes 9"], ["pans 2", "pans 4"]]
    options = RetrievalOptions(data_dir=str(tmp_path), model_dir=exported, port=0)
    with RetrievalServer(options) as service, RetrievalClient(service.target) as client:
        client.upsert(catalogue)
        client.upsert(["new shoe", "new pan"], texts=["marathon running sneaker", "steel frying pan with a lid"])
        # A text of a trained item changes nothing: training knows better.
        before = client.item_vectors(["shoes 3"])
        client.upsert(["shoes 3"], texts=["frying pan"])
        assert np.array_equal(client.item_vectors(["shoes 3"]), before)
        for user, mine, other in zip(users, ["new shoe", "new pan"], ["new pan", "new shoe"], strict=True):
            topic = user[0].split()[0]
            hits = [hit.item_id for hit in client.recommend([user], k=100)[0]]
            assert len(hits) == len(catalogue) + 2 - len(user)
            rivals = [hits.index(item) for item in catalogue if item not in user and not item.startswith(topic)]
            # Before the other topic's items, and not for the other topic's users.
            assert hits.index(mine) < np.percentile(rivals, 10)
            assert hits.index(other) > EACH - len(user)
        with pytest.raises(ServerError, match="`texts` row 1: the text encoder knows no word of it"):
            client.upsert(["a", "b"], texts=["pan", "zzz qqq"])
        assert client.status().items == len(catalogue) + 2
    with RetrievalServer(options) as service, RetrievalClient(service.target) as client:
        assert "new shoe" in [hit.item_id for hit in client.recommend([users[0]], k=EACH)[0]]


@pytest.mark.slow  # Needs the trained model.
@pytest.mark.parametrize("folder", ["", "1", "1/assets.extra/text_encoder"])
def test_the_text_encoder_is_found_in_the_pushed_folder_in_a_version_and_by_itself(exported, tmp_path, folder):
    texts = ["marathon running sneaker", "steel frying pan with a lid"]
    with ModelServer(ServerOptions(model_dir=exported, port=0, rest_port=None, poll_seconds=0)) as models:
        options = RetrievalOptions(
            data_dir=str(tmp_path), model_server=models.target, text_encoder=f"{exported}/{folder}", port=0
        )
        with RetrievalServer(options) as service, RetrievalClient(service.target) as client:
            client.upsert(["a", "b"], texts=texts)
            vectors = exported_text_encoder(exported).encode(texts)
            client.upsert(["c", "d"], text_vectors=vectors)
            np.testing.assert_allclose(client.item_vectors(["a", "b"]), client.item_vectors(["c", "d"]), rtol=1e-5)
