# SPDX-License-Identifier: Apache-2.0
"""Copies of an image in other regions, all made side by side.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/CopyingAMIs.html
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from threading import Event

from lkcloud.errors import LkcloudError, NotFound, Refused, UsageError
from lkcloud.provider import Image, Run
from lkcloud_aws import images, regions, sharing
from lkcloud_aws.copying import Copy
from lkcloud_aws.options import AwsOptions, Destination
from lkcloud_aws.session import Session

_MOST = 20
"""Copies at a time. AWS allows as many to one region:

https://docs.aws.amazon.com/ebs/latest/userguide/ebs-copy-snapshot.html
"""

_PACE = 0.5
"""Seconds between two looks at how the copies stand."""


def copy(
    session: Session, options: AwsOptions, image: Image, run: Run, *, replacing: bool = False
) -> tuple[Image, ...]:
    """Return the copies of IMAGE in the regions of the options, in their order, when they are available.

    The region of the image itself is left out. Raises UsageError for an image that lkcloud did not make, NotFound if it
    is gone or not available, Refused for a region that is not enabled or a copy that fails, Conflict for a name that is
    taken there. The copies that could be made are there all the same, and named by the error.
    """
    wanted = [one for one in options.destinations if one.region != session.region]
    if not wanted:
        return ()
    source = _source(session, image)
    wanted = _usable(session, wanted, run)
    grants = sharing.granted(session, source)
    standing = images.standing(session, source.id)
    jobs = []
    for one in wanted:
        there = session.at(one.region)
        _ = there.ec2  # a client must not be made in a thread
        jobs.append(Copy(there, one, source, standing, grants, run, minutes=options.copy_timeout))
    return _side_by_side(jobs, run, replacing=replacing)


def _source(session: Session, image: Image) -> Image:
    """Return IMAGE as it stands."""
    if not image.digest:
        raise UsageError(
            f"aws: {image.id} was not made by lkcloud, which knows its copies by the content digest",
            hint="copy it with `aws ec2 copy-image`",
        )
    source = images.get(session, image.id)
    if source is None or not source.ready:
        state = source.state if source else "gone"
        raise NotFound(f"aws: the image {image.id} in {session.region} is {state}", hint="wait until it is available")
    return source


def _usable(session: Session, wanted: Sequence[Destination], run: Run) -> list[Destination]:
    """Return those of WANTED that the account can use; without the others nothing is begun, but they are optional."""
    unusable = regions.unusable(session, [one.region for one in wanted])
    needed = [unusable[one.region] for one in wanted if one.region in unusable and not one.optional]
    for finding in needed[1:]:
        run.reporter.warn(f"{finding.problem} ({finding.hint})")
    if needed:
        raise Refused(f"aws: {needed[0].problem}", hint=needed[0].hint)
    for finding in unusable.values():
        run.reporter.warn(f"nothing is copied there: {finding.problem} ({finding.hint})")
    return [one for one in wanted if one.region not in unusable]


def _side_by_side(jobs: Sequence[Copy], run: Run, *, replacing: bool) -> tuple[Image, ...]:
    states = {job.session.region: "waits" for job in jobs}
    stopped = Event()
    with run.reporter.stage("copy") as meter, ThreadPoolExecutor(_MOST, thread_name_prefix="copy") as pool:
        futures = [
            pool.submit(job.make, partial(states.__setitem__, job.session.region), stopped, replacing=replacing)
            for job in jobs
        ]
        pending = set(futures)
        try:
            while pending:
                _, pending = wait(pending, timeout=_PACE)
                meter.status(_summary(states))
        except BaseException:
            # AWS goes on with copies that have begun; the same command finds them.
            stopped.set()
            pool.shutdown(cancel_futures=True)
            raise
    results = [(job.destination, _outcome(future)) for job, future in zip(jobs, futures, strict=True)]
    _tell(results, run)
    return tuple(result for _, result in results if isinstance(result, Image))


def _summary(states: Mapping[str, str]) -> str:
    """Return how the copies stand: how many are there, and what goes on with the first that is not."""
    busy = [f"{region} {state}" for region, state in states.items() if state != "available"]
    there = f"{len(states) - len(busy)} of {len(states)} available"
    return ", ".join([there, *busy[:1]])


def _outcome(future: "Future[Image]") -> Image | LkcloudError:
    try:
        return future.result()
    except LkcloudError as error:
        return error


def _tell(results: Sequence[tuple[Destination, Image | LkcloudError]], run: Run) -> None:
    """Tell of the copies that failed, and raise the first error of one that is needed."""
    errors: list[LkcloudError] = []
    for destination, result in results:
        if isinstance(result, Image):
            continue
        if destination.region not in result.message:
            result.message = result.message.replace("aws: ", f"aws: in {destination.region}: ", 1)
        if destination.optional or errors:
            run.reporter.warn(f"{result.message} ({result.hint})")
        else:
            errors.append(result)
    if errors:
        errors[0].made = tuple(result for _, result in results if isinstance(result, Image))
        raise errors[0]
