"""What a prior's request cost."""

from imagegen.v1.common_pb2 import Receipt, Tier, Truncation, WorkerUse
from prior_server.flights import PriorJobOf
from worker.service import truncations


def receipt_of(job: PriorJobOf, worker: str, model_digest: str, total_seconds: float, *, joined: bool) -> Receipt:
    """The receipt of a job that is done.

    Args:
        job: the job.
        worker: who did it.
        model_digest: of the prior.
        total_seconds: since the request came, which may have been after the job began.
        joined: another request had begun it, whose receipt has its steps.
    """
    arrival_seconds = job.request.arrival_seconds
    started_seconds = arrival_seconds if job.started_seconds is None else job.started_seconds
    queued_seconds = min(started_seconds - arrival_seconds, total_seconds)
    return Receipt(
        queued_seconds=queued_seconds,
        encoding_seconds=total_seconds - queued_seconds,
        total_seconds=total_seconds,
        prior_steps=0 if joined else sum(job.steps_by_batch_size.values()),
        steps_by_batch_size={} if joined else job.steps_by_batch_size,
        cache_hit=joined,
        workers=[WorkerUse(tier=Tier.TIER_PRIOR, worker=worker, model_digest=model_digest)],
        truncations=_truncations(job),
    )


def _truncations(job: PriorJobOf) -> list[Truncation]:
    """By the request's fields: the prompt and its negative one, or the items of a mix and its negative prompts."""
    cut = job.input.truncated
    if not job.input.one_generator:
        return truncations(Tier.TIER_PRIOR, cut.get(0, {}))
    last = len(job.input.contents) - 1
    cut_off = {}
    for place, texts in cut.items():
        prompt = "negative_prompt" if place == last else f"items[{place}].text"
        # The negative prompt of all of them is one.
        names = {"prompt": prompt, "negative_prompt": "negative_prior_prompt"}
        cut_off.update({names[own]: text for own, text in texts.items()})
    return truncations(Tier.TIER_PRIOR, cut_off)
