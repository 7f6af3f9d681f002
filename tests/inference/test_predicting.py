import pytest
import torch

from eomtlib.core.errors import ConfigurationError
from eomtlib.core.predictions import MaskLogits
from eomtlib.inference.predicting import predict_in_batches, split_predictions


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 9])
def test_batches_of_any_size_give_what_one_image_after_the_other_gives(batch_size):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (7, 3, 8, 8), generator=generator, dtype=torch.uint8)
    embeddings = torch.randn(5, 3, generator=generator)
    seen = []

    def predict(part):
        seen.append(len(part))
        features = part.float() / 255
        masks = MaskLogits(features, embeddings.expand(len(part), -1, -1))
        return masks, features.mean((2, 3)) @ embeddings.T

    masks, classes = predict_in_batches(predict, images, batch_size=batch_size)
    assert max(seen) <= batch_size
    assert sum(seen) == 7
    dense = masks if isinstance(masks, torch.Tensor) else masks.dense()
    for index, image in enumerate(images):
        alone, own_classes = predict(image[None])
        torch.testing.assert_close(dense[index], alone.dense()[0])
        torch.testing.assert_close(classes[index], own_classes[0])


def test_predictions_that_are_not_of_all_views_are_refused():
    masks, classes = torch.zeros(5, 2, 4, 4), torch.zeros(5, 2, 3)
    shares = [tuple(own.shape) for _, own in split_predictions(masks, classes, [1, 3, 1])]
    assert shares == [(1, 2, 3), (3, 2, 3), (1, 2, 3)]
    with pytest.raises(ConfigurationError, match=r"mask_logits of 5 .* saw 4 images"):
        next(split_predictions(masks, classes, [1, 3]))
