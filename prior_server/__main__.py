"""`kandinsky-prior`: the prior worker's process."""

from prior_server.config import PriorConfig
from serving.bootstrap import run_server
from serving.server import Application
from worker.loading import check_installed, operators_ahead, prepare_process


def main() -> None:
    """Serve until told to stop."""
    prepare_process()
    run_server(
        "kandinsky-prior",
        "Turns prompts into image embeddings with Kandinsky 2.1's prior, behind gRPC.",
        PriorConfig,
        _build,
    )


def _build(config: PriorConfig) -> Application:
    operators = operators_ahead(config)
    check_installed()
    # Only now: MindSpore takes seconds to import, and wrong flags should not wait for it.
    from prior_server.application import build

    return build(config, operators)


if __name__ == "__main__":
    main()
