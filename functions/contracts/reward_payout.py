"""The contract of reward payouts: what a member is to be paid, and for which campaign.

Used by the reward payouts consumer and, for its queue's dead letters, by the redrive.
"""

from typing import Literal

from pydantic import ConfigDict, Field

from contracts.contract import PERSONAL, SAFE, Contract, ContractModel


class RewardPayout(ContractModel):
    """The body of a reward payout.

    A key that is not here is refused: nobody should be paid by a rule that this consumer does not know.
    """

    model_config = ConfigDict(extra="forbid")

    payout_id: str = Field(pattern=r"^[A-Za-z0-9-]{1,64}$", json_schema_extra=SAFE)
    member_id: str = Field(pattern=r"^[A-Za-z0-9-]{1,64}$", json_schema_extra=PERSONAL)
    # In the currency's minor unit (cents), and strict: neither 12.5 nor 12.0 nor "12" is taken for money.
    amount_minor: int = Field(strict=True, ge=1, le=100_000_000)
    currency: Literal["EUR", "KRW", "USD"] = Field(json_schema_extra=SAFE)


class RewardPayoutAttributes(ContractModel):
    """The message attributes (headers) of a reward payout: without `campaign_id` nobody may pay it."""

    model_config = ConfigDict(extra="ignore")

    campaign_id: str = Field(pattern=r"^[A-Za-z0-9-]{1,64}$", json_schema_extra=SAFE)


REWARD_PAYOUT = Contract("reward-payout", RewardPayout, RewardPayoutAttributes)
