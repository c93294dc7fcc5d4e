"""News while a picture is made, and the previews as files: `python progress.py sketch.png folder`."""

import os
import sys
from pathlib import Path

from kandinsky_client import Client, Img2ImgResult, Progress, Queued


def main(sketch: str, folder: str) -> None:
    """Follow one request."""
    with (
        Client(os.environ.get("KANDINSKY_SERVER", "127.0.0.1:50050")) as client,
        client.stream_img2img(sketch, "a red circle", preview_every_steps=2) as events,
    ):
        for event in events:
            match event:
                case Queued(position=position, tier=tier):
                    print(f"waiting for the {tier}, {position} ahead")
                case Progress(step=step, total_steps=total, preview=preview):
                    print(f"{step}/{total}")
                    if preview is not None:
                        preview.save(Path(folder) / f"step-{step}.{preview.format}")
                case Img2ImgResult():
                    event.image.save(Path(folder) / "out.png")


if __name__ == "__main__":
    main(*sys.argv[1:])
