"""`kandinsky-decoder`: the decoder worker's process."""

from decoder_server.config import DecoderConfig
from serving.bootstrap import run_server
from serving.server import Application
from worker.loading import check_installed, operators_ahead, prepare_process


def main() -> None:
    """Serve until told to stop."""
    prepare_process()
    run_server(
        "kandinsky-decoder",
        "Turns pictures and embeddings into pictures with Kandinsky 2.1's decoder, behind gRPC.",
        DecoderConfig,
        _build,
    )


def _build(config: DecoderConfig) -> Application:
    operators = operators_ahead(config)
    check_installed()
    # Only now: MindSpore takes seconds to import, and wrong flags should not wait for it.
    from decoder_server.application import build

    return build(config, operators)


if __name__ == "__main__":
    main()
