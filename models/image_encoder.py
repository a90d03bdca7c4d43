"""A convolutional network from transformers as the captioner's eye: a picture becomes a grid of annotations.

Names of dimensions in this file:
    batch          pictures
    channels       width of a feature
    rows, columns  of the grid
"""

import torch
from torch import Tensor, nn
from transformers import AutoModel
from transformers.modeling_outputs import BaseModelOutput

from .configuration_show_attend_tell import ShowAttendTellConfig


class ImageEncoder(nn.Module):
    """Runs the backbone; in training it can begin after the blocks that never change.

    The backbone stays in evaluation mode: the batch norms keep ImageNet's statistics.
    """

    main_input_name = "pixel_values"

    def __init__(self, config: ShowAttendTellConfig):
        super().__init__()
        self.grid_layer = config.grid_layer
        self.num_trained_blocks = config.trained_backbone_blocks
        self.backbone = AutoModel.from_config(config.backbone_config)
        self.backbone.eval()
        if self.num_trained_blocks and not hasattr(getattr(self.backbone, "encoder", None), "top_conv"):
            raise ValueError(
                f"trained_backbone_blocks must be 0 with a {config.backbone_config.model_type} backbone; "
                f"only EfficientNet's blocks can be trained apart; got {self.num_trained_blocks}."
            )

    def train(self, mode: bool = True) -> "ImageEncoder":
        """Do not follow the decoder into training mode."""
        return super().train(False)

    def forward(
        self,
        pixel_values: Tensor,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        return_dict: bool = True,
    ) -> BaseModelOutput:
        """Look at pictures.

        Args:
            pixel_values: float (batch, 3, height, width), as the image processor makes them.
            output_attentions: named by `generate`; there are none to return.
            output_hidden_states: named by `generate`; the grid is all that is returned.
            return_dict: always True; named by `generate`.

        Returns:
            `last_hidden_state`: float (batch, channels, rows, columns).
        """
        return BaseModelOutput(last_hidden_state=self.finish(self.begin(pixel_values)))

    def begin(self, pixel_values: Tensor) -> Tensor:
        """Run what training never changes; its result can be kept.

        Returns:
            float (batch, channels, rows, columns): what `finish` takes.
        """
        if self.num_trained_blocks:
            features = self.backbone.embeddings(pixel_values)
            for block in self.backbone.encoder.blocks[: -self.num_trained_blocks]:
                features = block(features)
            return features
        if self.grid_layer == -1:
            return self.backbone(pixel_values).last_hidden_state
        return self.backbone(pixel_values, output_hidden_states=True).hidden_states[self.grid_layer]

    def finish(self, features: Tensor) -> Tensor:
        """Run the blocks that are trained: what `begin` returned to a grid, float (batch, channels, rows, columns)."""
        if not self.num_trained_blocks:
            return features
        encoder = self.backbone.encoder
        for block in encoder.blocks[-self.num_trained_blocks :]:
            features = block(features)
        return encoder.top_activation(encoder.top_bn(encoder.top_conv(features)))

    @torch.no_grad()
    def freeze(self) -> None:
        """Take the gradient from all that is not trained with the decoder.

        Squeeze-and-excite layers are left out too: in EfficientNet-Lite they hold constants.
        """
        self.backbone.requires_grad_(False)
        if self.num_trained_blocks:
            encoder = self.backbone.encoder
            trained = [*encoder.blocks[-self.num_trained_blocks :], encoder.top_conv, encoder.top_bn]
            for module in trained:
                module.requires_grad_(True)
            for block in encoder.blocks:
                block.squeeze_excite.requires_grad_(False)
