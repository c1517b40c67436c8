"""From an account to an archive, with the client that openapi-python-client generates.

Arguments: URL of the service, e-mail address for a new account, password, video file.
"""

import io
import sys
import time
import zipfile
from pathlib import Path

import httpx
from fiapx_client import AuthenticatedClient, Client
from fiapx_client.api.accounts import get_current_user, log_in, register_user
from fiapx_client.api.keys import create_key, delete_key, list_keys
from fiapx_client.api.videos import (
    create_another_job,
    delete_video,
    get_download_link,
    get_frame,
    get_job_status,
    get_video,
    list_frames,
    list_videos,
    upload_videos,
)
from fiapx_client.models import (
    Action,
    AnotherJob,
    Credentials,
    JobStatus,
    KeyRequest,
    Problem,
    Recipe,
    Registration,
    Scope,
    Selection,
    UploadVideosBody,
)
from fiapx_client.types import File

base, email, password, video = sys.argv[1:]
client = Client(base_url=base, raise_on_unexpected_status=True)


def wait(program, job):
    """Wait until a job is finished, and return it."""
    while True:
        status = get_job_status.sync(job, client=program)
        if status.status not in (JobStatus.QUEUED, JobStatus.PROCESSING):
            return get_video.sync(job, client=program)
        time.sleep(0.1)


# An error is a problem document.
problem = log_in.sync(client=client, body=Credentials(email=email, password=password))
assert isinstance(problem, Problem) and problem.code == "WRONG_CREDENTIALS", problem

account = register_user.sync(
    client=client, body=Registration(email=email, password=password, name="Ana")
)
assert account.email == email, account
session = log_in.sync(client=client, body=Credentials(email=email, password=password))
user = AuthenticatedClient(base_url=base, token=session.access_token)
assert get_current_user.sync(client=user).id == account.id
key = create_key.sync(
    client=user,
    body=KeyRequest(
        name="Story", scopes=[Scope.VIDEOSREAD, Scope.VIDEOSWRITE], password=password
    ),
)
program = AuthenticatedClient(base_url=base, token=key.key, raise_on_unexpected_status=True)

# Upload a video, and wait for its archive.
with open(video, "rb") as content:
    file = File(payload=content, file_name=Path(video).name, mime_type="video/mp4")
    accepted = upload_videos.sync(
        client=program, body=UploadVideosBody(file=[file]), idempotency_key="story"
    )
job = wait(program, accepted.job_id)
assert job.status == JobStatus.DONE and job.complete, job
assert [listed.id for listed in list_videos.sync(client=program)] == [job.id]

# Look at the frames, and download the archive.
frames = list_frames.sync(job.id, client=program).frames
assert len(frames) == job.frame_count, (frames, job)
frame = get_frame.sync(job.id, frames[0].number, client=program)
assert frame.payload.read().startswith(b"\x89PNG"), frame
link = get_download_link.sync(job.id, client=program)
archive = httpx.get(link.download_url).content
assert len(archive) == link.size_bytes == job.zip_size_bytes
names = zipfile.ZipFile(io.BytesIO(archive)).namelist()
assert len(names) == job.frame_count + 1 and names[-1] == "manifest.json", names

# Process the video again, with a recipe.
recipe = Recipe(select=Selection(count=2))
again = create_another_job.sync(job.id, client=program, body=AnotherJob(recipe=recipe))
other = wait(program, again.job_id)
assert other.frame_count == 2 and other.recipe.select.count == 2, other

for finished in (job, other):
    deleted = delete_video.sync_detailed(finished.id, client=program, action=Action.DELETE)
    assert deleted.status_code == 204, deleted
missing = get_video.sync(job.id, client=program)
assert isinstance(missing, Problem) and missing.code == "JOB_NOT_FOUND", missing
assert [listed.id for listed in list_keys.sync(client=user)] == [key.id]
assert delete_key.sync_detailed(key.id, client=user).status_code == 204
print("done")
