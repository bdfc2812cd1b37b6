# SPDX-License-Identifier: Apache-2.0
"""Parameters of Systems Manager that lead to an image: `{{resolve:ssm:/my-os/stable}}`, `resolve:ssm:/my-os/stable`.

https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-ec2-aliases.html
"""

import time
from dataclasses import dataclass

from lkcloud.errors import Conflict, Refused
from lkcloud.polling import poll
from lkcloud.provider import Finding, Image, Run
from lkcloud_aws.errors import code_of, explain
from lkcloud_aws.options import AwsOptions
from lkcloud_aws.session import Session

DATA_TYPE = "aws:ec2:image"
"""What launch templates and instance refresh ask for (aws-samples/cdk-image-pipeline#290)."""

_VALIDATION = 120.0
"""Seconds to wait for a value that has been accepted: EC2 is asked for the image behind our back."""


@dataclass(frozen=True, slots=True)
class _Parameter:
    """A parameter as it stands."""

    value: str
    type: str
    data_type: str
    version: int


def promote(session: Session, options: AwsOptions, image: Image, run: Run, *, patience: float = _VALIDATION) -> None:
    """Let the parameters of the options name IMAGE, in its region.

    One that does already is left alone. Raises Conflict for a parameter that is no image's or that somebody else
    changes at the same time, Refused if AWS accepts the value and does not take it within PATIENCE seconds.
    """
    for name in options.ssm_parameter:
        with run.reporter.stage("promote"):
            changed = _set(session, name, image, patience)
        place = f"the parameter {name} in {session.region}"
        run.reporter.note(f"{place} names {image.id}{'' if changed else ' already'}")


def check(session: Session, options: AwsOptions) -> list[Finding]:
    """Return what stands in the way of the parameters of the options in the region of SESSION."""
    findings = []
    for name in options.ssm_parameter:
        try:
            found = _look(session, name)
        except Refused as error:
            findings.append(Finding(error.message, error.hint))
            continue
        if found is not None and not _is_images(found):
            findings.append(Finding(_kind_problem(session, name, found), _KIND_HINT))
    return findings


def _set(session: Session, name: str, image: Image, patience: float) -> bool:
    """Let the parameter NAME have the id of IMAGE, and return whether it had another value."""
    found = _look(session, name)
    if found is not None and not _is_images(found):
        raise Conflict(f"aws: {_kind_problem(session, name, found)}", hint=_KIND_HINT)
    if found is not None and found.value == image.id:
        return False
    try:
        version = _put(session, name, image, new=found is None)
    except Exception as error:
        if code_of(error) == "ParameterAlreadyExists":
            there = _look(session, name)
            if there is not None and there.value == image.id:
                return True  # the answer to an attempt before was lost
            raise Conflict(
                f"aws: somebody else made the parameter {name} in {session.region} just now", hint=_RACE_HINT
            ) from error
        if code_of(error) == "ParameterMaxVersionLimitExceeded":
            raise Refused(
                explain(error, f"writing the parameter {name}").message,
                hint="take the label from the oldest version of the parameter, which AWS keeps for it",
            ) from error
        raise explain(error, f"writing the parameter {name} in {session.region}") from error
    _wait(session, name, image, version, patience)
    return True


def _put(session: Session, name: str, image: Image, *, new: bool) -> int:
    """Write the parameter and return its version. No tier is named: the account's own rule and the present one stay."""
    answer = session.attempt(
        lambda: session.ssm.put_parameter(
            Name=name, Value=image.id, Type="String", DataType=DATA_TYPE, Overwrite=not new
        )
    )
    return answer["Version"]


def _wait(session: Session, name: str, image: Image, version: int, patience: float) -> None:
    """Wait until the parameter has the id of IMAGE.

    "... a successful HTTP 200 response does not guarantee that your parameter was successfully created or updated"
    (PutParameter, DataType); what AWS does not take it drops without a word.
    """
    deadline = time.monotonic() + patience

    def look() -> bool | None:
        found = _look(session, name)
        if found is not None and found.value == image.id:
            return True
        if found is not None and found.version >= version:
            raise Conflict(
                f"aws: somebody else set the parameter {name} in {session.region} to {found.value} just now",
                hint=_RACE_HINT,
            )
        return None if time.monotonic() < deadline else False

    what = f"the parameter {name} in {session.region}"
    if not poll(look, what=what, every=0.5, limit=patience + 60, hint="run the same command again"):
        raise Refused(
            f"aws: AWS accepted {image.id} for {what}, and did not take it within {patience:.0f} seconds",
            hint="allow ec2:DescribeImages to this identity, with which AWS looks for the image, and see that it is "
            "available; then run the same command again",
        )


def _look(session: Session, name: str) -> _Parameter | None:
    answer = session.call(
        f"looking at the parameter {name} in {session.region}", lambda: session.ssm.get_parameters(Names=[name])
    )
    for found in answer["Parameters"]:
        return _Parameter(found["Value"], found["Type"], found.get("DataType", "text"), found["Version"])
    return None


def _is_images(found: _Parameter) -> bool:
    return (found.type, found.data_type) == ("String", DATA_TYPE)


def _kind_problem(session: Session, name: str, found: _Parameter) -> str:
    kind = found.data_type if found.type == "String" else found.type
    return f"the parameter {name} in {session.region} is of the kind {kind}, not {DATA_TYPE}, and cannot become that"


_KIND_HINT = "delete the parameter (`aws ssm delete-parameter`), or choose another --ssm-parameter"
_RACE_HINT = "let one run at a time promote images, then run the same command again"
