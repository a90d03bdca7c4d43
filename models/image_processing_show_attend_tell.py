"""From a picture to the numbers that the captioner's backbone reads; Pillow and NumPy, no torchvision."""

from transformers import PilBackend
from transformers.image_utils import PILImageResampling


class ShowAttendTellImageProcessor(PilBackend):
    """Squashes a picture to a square and scales it to -1..1; every part of the picture stays in view.

    The defaults are EfficientNet-Lite's: 224 x 224, bicubic, x / 127.5 - 1.
    """

    resample = PILImageResampling.BICUBIC
    size = {"height": 224, "width": 224}
    image_mean = [0.5, 0.5, 0.5]
    image_std = [0.5, 0.5, 0.5]
    do_resize = True
    do_rescale = True
    do_normalize = True
    do_convert_rgb = True
    model_input_names = ["pixel_values"]
