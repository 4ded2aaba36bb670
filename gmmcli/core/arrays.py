"""Types of arrays. K is the number of components, d the number of features."""

from typing import Annotated, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]
Booleans: TypeAlias = NDArray[np.bool_]
# The store derives shapes from these; the structure of the covariances decides the shape of "covariances".
PerComponent: TypeAlias = Annotated[Array, ("K",)]
PerFeature: TypeAlias = Annotated[Array, ("d",)]
PerComponentAndFeature: TypeAlias = Annotated[Array, ("K", "d")]
Covariances: TypeAlias = Annotated[Array, ("covariances",)]
