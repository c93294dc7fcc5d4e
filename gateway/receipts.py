"""The receipt of a request from the receipts of its parts."""

from imagegen.v1.common_pb2 import Receipt


def merge(prior: Receipt, decoder: Receipt, *, retries: int, total_seconds: float) -> Receipt:
    """What an Img2Img request cost.

    Args:
        prior: of its embeddings; empty when the request brought them.
        decoder: of its pictures.
        retries: how often the gateway turned to another worker.
        total_seconds: from the request's arrival at the gateway to its answer.
    """
    return Receipt(
        queued_seconds=prior.queued_seconds + decoder.queued_seconds,
        encoding_seconds=prior.encoding_seconds + decoder.encoding_seconds,
        denoising_seconds=decoder.denoising_seconds,
        decoding_seconds=decoder.decoding_seconds,
        total_seconds=total_seconds,
        prior_steps=prior.prior_steps,
        denoising_steps=decoder.denoising_steps,
        steps_by_batch_size=decoder.steps_by_batch_size,
        cache_hit=prior.cache_hit,
        workers=[*prior.workers, *decoder.workers],
        truncations=[*prior.truncations, *decoder.truncations],
        retries=prior.retries + decoder.retries + retries,
    )
