"""The part of the page about the sample: groups of messages with their shares, and a masked example of each."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from redrive.domain.page.elements import Content, as_json, element, facts, isolated, pre, section
from redrive.domain.page.plots import share
from redrive.domain.runs.leftovers import counted
from redrive.domain.sampling.sample import Sample, SampleGroup
from redrive.domain.sampling.summary import MAX_GROUPS

_MAX_EXAMPLE = 4_000


def sample_section(sample: Sample | None, *, examples: bool) -> ET.Element | None:
    """Return what peeking at messages showed; None if there was nothing to see."""
    if sample is None or not sample.sampled:
        return None
    sizes = sample.sizes
    looked_at = f"All {sample.sampled:,} messages" if sample.complete else f"A sample of {sample.sampled:,} messages"
    sentences = [
        f"{looked_at}, of {sizes.smallest:,} to {sizes.largest:,} bytes (half of them at most {sizes.median:,}, "
        f"90 % at most {sizes.p90:,})."
    ]
    if sample.oldest_sent_at and sample.newest_sent_at:
        sentences.append(
            f"Sent from {sample.oldest_sent_at:%Y-%m-%d %H:%M:%S} to {sample.newest_sent_at:%Y-%m-%d %H:%M:%S}."
        )
    if sample.near_expiry:
        sentences.append(f"SQS will drop {sample.near_expiry:,} of them within a day.")
    if sample.other_groups:
        sentences.append(f"{sample.in_other_groups:,} are in {sample.other_groups:,} other groups, not listed.")
    groups = [element("li", _group(group, sample, examples=examples)) for group in sample.groups[:MAX_GROUPS]]
    return section(
        "sample",
        "Before the run: groups of messages",
        element("p", " ".join(sentences)),
        element("ol", groups, class_="groups"),
    )


def _group(group: SampleGroup, sample: Sample, *, examples: bool) -> ET.Element:
    shares = f"{group.share:.0%}"
    if not sample.complete:
        shares += f" ({group.share_low:.0%} to {group.share_high:.0%})"
    origin = isolated(group.origin) if group.origin else None
    if origin is None and group.origin_kind:
        origin = element("span", f"a {group.origin_kind.value} that AWS doesn't confirm")
    error_text = group.error_message or group.error_text_hash
    verdict = element("strong", group.verdict)
    notes = [*(["repaired"] if group.repaired else []), *(["recursive loop"] if group.in_a_loop else [])]
    return element(
        "article",
        element("h3", f"{counted(group.messages)}, {shares}: ", verdict),
        share(group.share_low, group.share_high, group.share),
        facts(
            [
                ("Reason", isolated(group.reason) if group.reason else None),
                ("To", isolated(group.destination) if group.destination else None),
                ("From", origin),
                ("Envelope", group.envelope.value),
                ("Failed with", isolated(group.error_type) if group.error_type else None),
                ("Error text", isolated(error_text) if error_text else None),
                ("Contract", isolated(group.contract) if group.contract else "none"),
                ("Events", f"{group.events:,}" if group.events is not None else None),
                ("Also", ", ".join(notes) or None),
            ]
        ),
        _example(group) if examples else None,
    )


def _example(group: SampleGroup) -> ET.Element | None:
    if group.example is None:
        return None
    before = group.example.model_dump(mode="json", exclude={"repaired"})
    after = group.example.repaired
    parts: list[Content] = [pre(as_json(before), _MAX_EXAMPLE)]
    if after is not None:
        parts += [element("p", "After the repair:"), pre(as_json(after.model_dump(mode="json")), _MAX_EXAMPLE)]
    return element("details", element("summary", "One of them, masked"), parts)
