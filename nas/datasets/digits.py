"""scikit-learn's 1,797 handwritten digits, 8 x 8 pixels x in 0..16: p8 = (255 * x + 8) // 16.

Test is 20 %, validation 20 % of the rest, both stratified and drawn with random_state 0.
"""

import numpy as np

from .dataset import Dataset
from .images import dataset

SHAPE, CLASSES = (8, 8), 10
#: Images of each split.
SETS = {"digits": (1149, 288, 360)}


def sizes(name: str) -> tuple[int, int, int]:
    return SETS[name]


def about(name: str) -> str:
    return "stratified, drawn with random_state 0 from scikit-learn's handwritten digits"


def load(name: str) -> Dataset:
    """All of them."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    p8 = ((255 * images.astype(np.int64) + 8) // 16).astype(np.uint8)
    labels = labels.astype(np.int64)

    def cut(p8, labels):
        return train_test_split(p8, labels, test_size=0.2, stratify=labels, random_state=0)

    rest_p8, test_p8, rest_labels, test_labels = cut(p8, labels)
    train_p8, validation_p8, train_labels, validation_labels = cut(rest_p8, rest_labels)
    return dataset(name, SHAPE, CLASSES, {
        "train": (train_p8, train_labels), "validation": (validation_p8, validation_labels),
        "test": (test_p8, test_labels)})
