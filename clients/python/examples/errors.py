"""What can go wrong and what to do about it: `python errors.py sketch.png`."""

import os
import sys

from kandinsky_client import Client, InvalidArgumentError, KandinskyClientError, ServerBusyError


def main(sketch: str) -> None:
    """Ask for something that is not allowed."""
    with Client(os.environ.get("KANDINSKY_SERVER", "127.0.0.1:50050"), timeout_seconds=60) as client:
        try:
            client.img2img(sketch, "a red circle", strength=1.5)
        except InvalidArgumentError as error:
            for violation in error.violations:
                print(violation.field, violation.description)
        except ServerBusyError as error:
            print(f"come back in {error.retry_after_seconds} s")
        except KandinskyClientError as error:
            print(error, error.request_id)


if __name__ == "__main__":
    main(*sys.argv[1:])
