"""A batch of images through a device, each answer held to the reference model."""

from collections.abc import Iterator

import numpy as np
from rich.table import Table

from ..flow import ir
from ..flow.output import Wide
from .answers import Result, Stats
from .host import Device
from .images import payload
from .live import Tally
from .reference import Trace

#: Images with a line of their own, at most; of more, those alone that differ from the reference.
LINES = 20


def classify(graph: ir.Graph, p8: np.ndarray, labels: np.ndarray | None, wanted: Trace,
             device: Device, view, tally: Tally, *, counted: bool = False) -> list[dict]:
    """What a device answers to images [n, *input_shape], and whether it should have.

    wanted: what the reference model answers. view: is shown each image (`live`). counted: what the
    device counted of it is asked for, too. Ctrl-C ends it with what has been answered until then.
    """
    images: list[dict] = []
    try:
        with view:
            for index, (result, stats) in enumerate(_answers(graph, p8, device, counted)):
                image = compared(index, result, wanted,
                                 None if labels is None else int(labels[index]))
                if stats is not None:
                    image["counted"] = {"spikes": list(stats.spikes), "clocks": stats.cycles}
                images.append(image)
                tally.add(image)
                view.show(image, p8[index])
    except KeyboardInterrupt:
        pass  # the tally tells
    return images


def compared(index: int, result: Result, wanted: Trace, label: int | None = None) -> dict:
    """An answer beside the reference model's of image `index`."""
    scores = [int(score) for score in wanted.scores[index]]
    cls = int(wanted.classes[index])
    return {"index": index, "class": result.cls, "scores": list(result.scores), "label": label,
            "reference": {"class": cls, "scores": scores},
            "equal": result.cls == cls and list(result.scores) == scores}


def _answers(graph: ir.Graph, p8: np.ndarray, device: Device, counted: bool
             ) -> Iterator[tuple[Result, Stats | None]]:
    payloads = (np.frombuffer(payload(graph, image), np.uint8) for image in p8)
    if counted:
        yield from ((device.infer(data), device.stats()) for data in payloads)
    else:
        yield from ((result, None) for result in device.infer_all(payloads))


def summary(images: list[dict], device: Device, design: str, tally: Tally, n_classes: int) -> dict:
    """What a batch came to; with labels `confusion`: images by label (rows) and class (columns)."""
    data = {
        "device": device.transport.name, "design": design, "asked": tally.total,
        "count": len(images), "equal": sum(image["equal"] for image in images),
        "labelled": tally.labelled, "correct": tally.right, "seconds": tally.seconds,
        "images_per_second": tally.rate, "baud": device.transport.baud, "images": images,
    }
    if tally.labelled:
        data["accuracy"] = tally.right / tally.labelled
        data["confusion"] = confusion(images, n_classes)
    return data


def confusion(images: list[dict], n_classes: int) -> list[list[int]]:
    """Images by label (rows) and by the class that was answered (columns).

    A row for each class, and one more for labels that are none, if a file has such.
    """
    table = np.zeros((n_classes + 1, n_classes), int)
    for image in images:
        if (label := image["label"]) is not None:
            table[label if 0 <= label < n_classes else n_classes, image["class"]] += 1
    return table[:n_classes + bool(table[n_classes].any())].tolist()


def told(data: dict) -> list:
    """Lines and tables for a person."""
    many = len(data["images"]) > LINES
    shown = [image for image in data["images"] if not many or not image["equal"]]
    parts = [line(image) for image in shown[:LINES]]
    if len(shown) > LINES:
        parts.append(f"and {len(shown) - LINES:,} more that differ from the reference")
    if many and "confusion" in data:
        parts.append(Wide(_confusion_table(data["confusion"])))
    return [*parts, closing(data)]


def _confusion_table(rows: list[list[int]]) -> Table:
    table = Table("label", *(str(k) for k in range(len(rows[0]))), "right", box=None)
    for column in table.columns:
        column.justify = "right"
    for label, row in enumerate(rows):
        right = f"{sum(row[label:label + 1]) / sum(row):.1%}" if sum(row) else ""
        name = str(label) if label < len(row) else "other"
        table.add_row(name, *(str(count) if count else "." for count in row), right)
    return table


def line(image: dict) -> str:
    label = "" if image["label"] is None else f", label {image['label']}"
    name = f" {image['file']}:" if "file" in image else ""
    text = f"{image['index']:4}:{name} class {image['class']}{label}, scores {image['scores']}"
    if image["equal"]:
        return f"{text}, equal to the reference"
    wanted = image["reference"]
    return f"{text}, NOT the reference's class {wanted['class']}, scores {wanted['scores']}"


def closing(data: dict) -> str:
    text = (f"{data['device']}, design {data['design']}: {data['equal']} of {data['count']} equal "
            "to the reference")
    if data["labelled"]:
        text += (f", {data['correct']} of {data['labelled']} labels right "
                 f"({data['accuracy']:.2%})")
    if data["images_per_second"]:
        simulated = "simulated, " if data["device"] == "simulation" else ""
        text += (f", {data['images_per_second']:,.1f} images/s over the link ({simulated}"
                 f"{data['baud']:,.0f} baud)")
    return text
