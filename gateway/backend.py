"""What is behind the gateway, as its methods use it: the tiers, the caches, and who is let in."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial

from gateway.admission import Admission, Demand, Load, Ticket, load_of
from gateway.decoding import DecoderPool
from gateway.embeddings import PriorPool, PromptEncoder, encoding_units
from gateway.pace import decoder_units
from gateway.routing import fewest_calls
from imagegen.v1.common_pb2 import Priority, Tier
from imagegen.v1.decoder_pb2 import Img2ImgParams
from imagegen.v1.prior_pb2 import PriorServiceEncodePromptRequest
from serving.tenants import current_tenant


@dataclass(frozen=True)
class Backend:
    """What is behind the gateway.

    Attributes:
        prior: the priors.
        decoder: the decoders.
        encoder: the priors with the caches before them.
        admission: who is let in.
        checkpoint_every_steps: how often decoders send what another one could go on from.
    """

    prior: PriorPool
    decoder: DecoderPool
    encoder: PromptEncoder
    admission: Admission
    checkpoint_every_steps: int

    def demand(
        self,
        to_prior: PriorServiceEncodePromptRequest | None,
        to_decoder: Img2ImgParams | None,
        priority: Priority.ValueType,
        remaining_seconds: float | None,
    ) -> Demand:
        """What the current tenant asks for with what would be sent to each tier; None: nothing."""
        seconds = {}
        if to_prior is not None and self.encoder.needs_prior(to_prior):
            seconds[Tier.TIER_PRIOR] = self.prior.seconds(partial(encoding_units, to_prior))
        if to_decoder is not None:
            seconds[Tier.TIER_DECODER] = self.decoder.seconds(partial(decoder_units, to_decoder))
        return Demand(current_tenant.get(), priority, seconds, remaining_seconds)

    def admit(self, demand: Demand) -> AbstractContextManager[Ticket]:
        """Lets a request in for the length of the body; errors as of `Admission.admit`."""
        return self.admission.admit(demand, self._loads(demand.seconds))

    def wait_seconds(self, tiers: Iterable[Tier.ValueType]) -> float:
        """How long a request would wait that came now and needed these tiers."""
        return self.admission.wait_seconds(self._loads(tiers))

    def requests_ahead(self, tier: Tier.ValueType) -> int:
        """How many of this gateway's requests are with the worker of a tier that has the fewest."""
        return fewest_calls(self.prior.views() if tier == Tier.TIER_PRIOR else self.decoder.views())

    def _loads(self, tiers: Iterable[Tier.ValueType]) -> dict[Tier.ValueType, Load]:
        views = {Tier.TIER_PRIOR: self.prior.views, Tier.TIER_DECODER: self.decoder.views}
        return {tier: load_of(views[tier]()) for tier in tiers}
