"""Images as people have them, as the tensors that everything here takes."""

from querytax.images.load import load_images

__all__ = ["load_images"]
