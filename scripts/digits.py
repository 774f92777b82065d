"""Trains a network on handwritten digits, then changes its graph step by step and trains on from the kept weights.

    python scripts/digits.py [--pictures FOLDER]

The digits are the 1,797 images of 8 x 8 that come with scikit-learn; a fifth of them is held out. Each edit is one call
on the network; what it was and what it is are drawn beside each other into the folder.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from fastgrad import nn

FOLDER = Path(__file__).resolve().parent.parent / "output" / "digits"
N_TEST = 360
TASK = {"loss": nn.cross_entropy, "metrics": [nn.accuracy]}
PARITY = {"loss": nn.binary_cross_entropy, "metrics": [nn.binary_accuracy]}


def digits():
    """Images as vectors of 64 numbers from 0 to 1 with their labels, for training and held out."""
    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))
    images, labels = data.data[order] / 16.0, data.target[order]
    return images[N_TEST:], labels[N_TEST:], images[:N_TEST], labels[:N_TEST]


def first_network():
    """A block of two layers and a head."""
    block = nn.Sequential(nn.Dense(128, nn.relu), nn.Dense(64, nn.relu), name="block")
    return nn.build(nn.Sequential(block, nn.Dropout(0.2), nn.Dense(10, name="head")), 64, seed=0)


EDITS = (
    ("insert a layer", lambda net: net.insert_after("block", nn.Dense(64, nn.relu, name="inserted"), seed=1)),
    ("replace its activation", lambda net: net.replace("inserted/activation", nn.Activation(nn.gelu))),
    (
        "share two weights",
        lambda net: net.insert_after("inserted", nn.Dense(64, nn.relu, name="second"), seed=2).share(
            "inserted/kernel", "second/kernel"
        ),
    ),
    ("freeze the first block", lambda net: net.freeze("block")),
)


def new_head(network):
    """The head cut off, and one for odd and even grafted on: a single logit."""
    return network.cut("dropout").graft(nn.Dense(1, name="parity"), seed=3)


def accuracy(network, images, targets, task):
    """In percent."""
    return 100.0 * network.evaluate(images, targets, **task)[task["metrics"][0].__name__]


def main():
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--pictures", type=Path, default=FOLDER, help="where the drawings go")
    folder = arguments.parse_args().pictures
    folder.mkdir(parents=True, exist_ok=True)
    begin = time.perf_counter()
    images, labels, test_images, test_labels = digits()

    network = first_network()
    network.draw().save(folder / "0_first_network.svg")
    print(network.summary(2))
    network, history = network.fit(images, labels, loss=nn.cross_entropy, epochs=40, seed=0)
    print(f"trained: {accuracy(network, test_images, test_labels, TASK):.2f} % of the held-out digits are right")
    for number, (title, edit) in enumerate(EDITS, 1):
        before, network = network, edit(network)
        draw(folder, f"{number}_{title.replace(' ', '_')}", before, network)
        at_once = accuracy(network, test_images, test_labels, TASK)
        network, _ = network.fit(images, labels, loss=nn.cross_entropy, epochs=25, seed=number)
        print(f"{title}: {at_once:.2f} %, trained on {accuracy(network, test_images, test_labels, TASK):.2f} %")

    before, network = network, new_head(network)
    draw(folder, "5_another_head", before, network)
    odd, test_odd = labels[:, None] % 2, test_labels[:, None] % 2
    at_once = accuracy(network, test_images, test_odd, PARITY)
    network, history = network.fit(images, odd, loss=nn.binary_cross_entropy, epochs=30, seed=5)
    trained = accuracy(network, test_images, test_odd, PARITY)
    print(f"another head, odd or even: {at_once:.2f} %, trained on {trained:.2f} %")
    history.plot().figure.savefig(folder / "history.png")
    print(f"{time.perf_counter() - begin:.1f} s in all; drawings in {folder}")


def draw(folder, name, before, after):
    """The graphs before and after an edit."""
    for when, network in (("before", before), ("after", after)):
        network.draw().save(folder / f"{name}_{when}.svg")


if __name__ == "__main__":
    main()
