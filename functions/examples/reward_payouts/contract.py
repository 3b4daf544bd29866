"""The contract of reward payouts: how much to pay to which member, and for which campaign.

Used by the producer and the consumer of reward payouts, and by the redrive for their dead-letter queue.
"""

from typing import Literal

from pydantic import ConfigDict, Field

from redrive.contracts.contract import PERSONAL, SAFE, Contract, ContractModel


class RewardPayout(ContractModel):
    """The body of a reward payout.

    Unknown keys are rejected: they may carry a rule for the payment that this consumer doesn't know.
    """

    model_config = ConfigDict(extra="forbid")

    payout_id: str = Field(pattern=r"^[A-Za-z0-9-]{1,64}$", json_schema_extra=SAFE)
    member_id: str = Field(pattern=r"^[A-Za-z0-9-]{1,64}$", json_schema_extra=PERSONAL)
    # In the currency's minor unit (cents). Strict, so 12.5, 12.0, and "12" aren't accepted.
    amount_minor: int = Field(strict=True, ge=1, le=100_000_000)
    currency: Literal["EUR", "KRW", "USD"] = Field(json_schema_extra=SAFE)


class RewardPayoutAttributes(ContractModel):
    """The message attributes of a reward payout. A payout without `campaign_id` must not be paid."""

    model_config = ConfigDict(extra="ignore")

    campaign_id: str = Field(pattern=r"^[A-Za-z0-9-]{1,64}$", json_schema_extra=SAFE)


REWARD_PAYOUT = Contract("reward-payout", RewardPayout, RewardPayoutAttributes)
