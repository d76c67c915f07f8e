"""Names of tensor shapes, checked at run time in the tests (jaxtyping + beartype).

``n`` images, ``c`` input channels, ``h`` × ``w`` pixels (row, column). Values of images are in [0, 1].
"""

from jaxtyping import Float
from torch import Tensor

Image = Float[Tensor, "c h w"]
Images = Float[Tensor, "n c h w"]
Map = Float[Tensor, "h w"]
Maps = Float[Tensor, "n h w"]
ChannelMaps = Float[Tensor, "n k h w"]
CellMaps = Float[Tensor, "n k rows columns"]
Weights = Float[Tensor, "filters channels rows columns"]
Spectra = Float[Tensor, "filters 1 frequencies frequencies"]
Cells = Float[Tensor, "n 1 rows columns"]
Scores = Float[Tensor, " n"]
Logits = Float[Tensor, "n classes *positions"]
Activation = Float[Tensor, "n *shape"]
