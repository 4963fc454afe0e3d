# SPDX-License-Identifier: Apache-2.0
"""s3_iam: the policies of docs/examples/iam are enough for what they are for, and each thing in them is needed.

A user without any rights on the bucket gets those of a policy and nothing else, and does the whole job.  Then each action,
and each kind of object that an action is allowed on, is taken away in turn: something fails, and says what is missing.
"""

import contextlib
import copy
import json
import os

from check import Checked
from lib.case import tail, wait_until
from lib.daemon import Daemon
from lib.scene import Scene
from lib.story import EXAMPLES, tell
from lib.tap import Skip, check, equal
from retention import old
from s3_uploads import DAY, scratch, unfinished
from servers import faults

FAILED, NO_BACKUP = 1, 3
USER = {"AWS": ["arn:aws:iam:::user/other"]}
ACTIONS = {f"s3:{name}" for name in ("AbortMultipartUpload", "DeleteObject", "GetObject", "ListBucket", "ListBucketMultipartUploads", "PutObject")}
ROLES = ("checker", "pruner", "reader", "writer")
FOLDS = ("--fold-count", "3", "--fold-delete-after", "40ms")
MERGES = ("--merge-interval", "120ms", "--merge-long-interval", "500ms", "--merge-percent", "0")
KEEP = ("--exact", "24h", "--daily", "3")
LARGE = 12 << 20  # three parts


# --- policies ----------------------------------------------------------------------------------------------------------


def many(value):
    """What a policy may write as one or as a list, as a list."""
    return value if isinstance(value, list) else [value]


def document(role, replica):
    """The file that users copy, with the bucket and the prefix of this replica."""
    text = (EXAMPLES / "iam" / f"{role}.json").read_text(encoding="utf-8")
    return json.loads(text.replace("BUCKET", replica.bucket).replace("PREFIX", replica.prefix))


def pairs(policy):
    """Every (action, resource) of it."""
    return [(action, resource) for statement in policy["Statement"] for action in many(statement["Action"])
            for resource in many(statement["Resource"])]


def without(policy, action, resource=None):
    """The same policy with one action less, or one resource less for that action."""
    left = copy.deepcopy(policy)
    for statement in left["Statement"][:]:
        if action not in many(statement["Action"]) or (resource and resource not in many(statement["Resource"])):
            continue
        rest = [one for one in many(statement["Action"]) if one != action]
        others = [one for one in many(statement["Resource"]) if one != resource] if resource else []
        left["Statement"].remove(statement)
        left["Statement"] += [{**statement, "Action": rest}] if rest else []
        left["Statement"] += [{**statement, "Action": action, "Resource": others}] if others else []
    return left


@contextlib.contextmanager
def allowed(replica, policy):
    """The other user may do this and nothing else.  The keys of that user, as an environment.

    Only the principal is added to the policy's statements.  Whoever writes an object here owns it, and may read it without a
    policy; in Amazon's buckets of today the bucket owns all objects.  So what the policy does not allow is denied."""
    server = replica.server
    statements = [{**statement, "Principal": USER} for statement in policy["Statement"]]
    denied = sorted(ACTIONS - {action for action, _ in pairs(policy)})
    if denied:
        statements.append({"Effect": "Deny", "Principal": USER, "Action": denied,
                           "Resource": [f"arn:aws:s3:::{replica.bucket}", f"arn:aws:s3:::{replica.bucket}/*"]})
    replica.client.put_bucket_policy(Bucket=replica.bucket, Policy=json.dumps({"Version": policy["Version"], "Statement": statements}))
    try:
        yield {"AWS_ACCESS_KEY_ID": server.other_access_key, "AWS_SECRET_ACCESS_KEY": server.other_secret_key}
    finally:
        replica.client.delete_bucket_policy(Bucket=replica.bucket)


# --- the jobs ----------------------------------------------------------------------------------------------------------


class Job:
    """What came of one attempt at the whole job of a role: what failed, and all that was said."""

    def __init__(self, case, replica, keys):
        self.case, self.replica, self.keys, self.failed, self.said = case, replica, keys, [], ""

    def weir(self, what, *argv):
        """One command with the user's keys; True when it did what it should."""
        done = self.case.weir(*argv, expect=None, env=self.keys)
        self.said += done.stdout + done.stderr
        return self.note(what, done.returncode == 0)

    def note(self, what, good):
        """Whether that went well."""
        self.failed += [] if good else [what]
        return good

    def checked(self, db, warnings):
        """`weir check` finds everything, but for what the role has no need of."""
        found = Checked(self.case, db, self.replica.url, expect=(0, FAILED), env=self.keys)
        self.said += found.done.stdout
        wrong = found.results("failed") + [name for name in found.results("warning") if name not in warnings]
        self.note("check", not wrong)


def reads(job):
    """Whoever looks and restores."""
    case, url, out = job.case, job.replica.url, job.case.path("read.db")
    job.weir("ls", "ls", url)
    job.weir("log", "log", url, "--table", "t")
    job.weir("verify", "verify", url, "--deep")
    case.run("rm", "-rf", out, out + "-weir")
    job.weir("restore", "restore", url, "-o", out, "--verify", "full")
    job.weir("export", "export", url, out, "--force")
    if job.weir("share", "share", url, "-o", case.path("share.json")):
        done = case.weir("restore", "share://" + case.path("share.json"), "-o", out, "--force", expect=None)
        job.said += done.stdout + done.stderr
        job.note("the share", done.returncode == 0)


LACKING = "the credentials need"


def began(job, daemon):
    """It replicates; or it has ended, or says what it lacks, and is ended then."""
    def settled():
        return not daemon.alive() or LACKING in daemon.log() or job.case.weir("sync", daemon.db, "--wait", "--timeout", "1s", expect=None).returncode == 0

    wait_until(settled, "the daemon replicates, or says why not")
    good = daemon.alive() and LACKING not in daemon.log()
    if not good:
        daemon.kill()
        job.said += daemon.log()
    return job.note("replicate", good)


def given_up(job, scene):
    """A snapshot in parts fails half-way: its upload is aborted, so nothing is left that costs."""
    with job.case.proxy.failing(faults.denied(), kind="PART", skip=1, times=None):
        scene.start(ready=False, env=job.keys).wait_exit(expect=FAILED)
    left = unfinished(scene)
    job.note("abort", not left)
    for key in left:
        for upload in scene.replica.client.list_multipart_uploads(Bucket=scene.replica.bucket, Prefix=key)["Uploads"]:
            scene.replica.client.abort_multipart_upload(Bucket=scene.replica.bucket, Key=key, UploadId=upload["UploadId"])


def family(key):
    """The kind of an object, as the policies have it: "/log/", "/.tmp/" ..."""
    return next(name for name in ("/log/", "/part/", "/fold/", "/snap/", "/merge/", "/pruned/", "/.tmp/", "/probe/") if name in key)


def tidied(job, scene):
    """Folds, and folds of folds, until the objects that they stand for are deleted, and a merge; or it is said what is not allowed."""
    def settled():
        scene.commit(1)
        gone = {family(record.key) for record in job.case.proxy.since(kind="DELETE", key=f"{scene.replica.prefix}/*")}
        done = {"/log/", "/fold/"} <= gone and any("/merge/" in key for key in scene.replica.list())
        return done or LACKING in scene.daemon.log()

    wait_until(settled, "segments and small folds are deleted, and there is a merge")


def takes_over(job):
    """A new machine: restored, and the history goes on there, behind a seal."""
    db = job.case.path("taken.db")
    job.weir("restore", "restore", job.replica.url, "-o", db)
    daemon = Daemon(job.case, db, job.replica.url, env=job.keys, name="new machine").start(ready=False)
    if began(job, daemon):
        job.case.run("sqlite3", "-cmd", ".timeout 30000", db, "INSERT INTO t(k) VALUES(0)")
        daemon.sync()
        job.note("take over", any(key.startswith("t/00000002/log/") for key in job.replica.list()))
        daemon.stop()


def writes(case, replica, keys):
    """The daemon: a first snapshot in parts, segments, folds of folds, merges, another snapshot, a restart; then a restore, and a takeover."""
    job, scene = Job(case, replica, keys), Scene(case, os.path.basename(replica.prefix), replica=replica)
    scene.app.sql(f"CREATE TABLE large AS SELECT randomblob({LARGE}) AS v")
    job.checked(scene.db, ("list uploads",))
    given_up(job, scene)
    for _ in range(2):
        daemon = scene.start(*FOLDS, *MERGES, ready=False, env=keys)
        if not began(job, daemon):
            break
        tidied(job, scene)
        job.weir("snapshot", "snapshot", scene.db)
        daemon.sync()
        daemon.stop()
        job.said += daemon.log()
        job.note("tidy", LACKING not in daemon.log())
    scene.close()
    job.note("scratch", not scratch(scene))
    if not job.failed:
        kinds = {key.split("/")[2] for key in replica.list() if key.startswith("t/") and key.count("/") > 2}
        check({"log", "fold", "merge", "snap"} <= kinds, f"the job made {kinds}")
        reads(job)
        takes_over(job)
    return job


def restores(case, replica, keys):
    """Whoever looks and restores, from what somebody else has written."""
    job = Job(case, replica, keys)
    reads(job)
    return job


def prunes(case, replica, keys):
    """Retention, carried out elsewhere; also of what a writer has left that died."""
    job = Job(case, replica, keys)
    where = {"Bucket": replica.bucket, "Key": f"{replica.prefix}/.tmp/0123456789abcdef"}
    replica.client.put_object(**where, Body=b"left")
    upload = replica.client.create_multipart_upload(**where)["UploadId"]
    replica.client.upload_part(**where, UploadId=upload, PartNumber=1, Body=b"part")
    with case.proxy.failing(faults.Skew(4 * DAY), times=None):
        job.weir("prune", "prune", replica.url, *KEEP)
    job.note("uploads", not replica.client.list_multipart_uploads(Bucket=replica.bucket, Prefix=replica.prefix + "/").get("Uploads"))
    job.note("scratch", not replica.client.list_objects_v2(Bucket=replica.bucket, Prefix=where["Key"]).get("Contents"))
    job.note("pruned", any("/pruned/" in key for key in replica.list()))
    if not job.failed:
        case.weir("verify", replica.url)
    return job


def checks(case, replica, keys):
    """`weir check`, from where nobody writes."""
    job, db = Job(case, replica, keys), case.path("none.db")
    case.run("sqlite3", db, "PRAGMA journal_mode=WAL; CREATE TABLE IF NOT EXISTS t(x)")
    job.checked(db, ())
    return job


def written(case, name):
    """A history that somebody else writes."""
    scene = Scene(case, name, replica=case.replica(name))
    scene.start(*FOLDS)
    scene.commit(12)
    scene.end()


def days(case, name):
    """Something to prune."""
    old(case, name, days=12)


def nothing(_case, _name):
    """No history."""


# role: (its job, what is there before)
JOBS = {"writer": (writes, nothing), "reader": (restores, written), "pruner": (prunes, days), "checker": (checks, nothing)}


def attempt(case, role, name, change=lambda policy: policy):
    """The job of a role with the file's policy, or with a changed one."""
    job, prepare = JOBS[role]
    prepare(case, name)
    replica = case.proxied_replica(name)
    with allowed(replica, change(document(role, replica))) as keys:
        return job(case, replica, keys)


def enough(role):
    """The policy is enough."""
    def body(case):
        s3_only(case)
        done = attempt(case, role, role)
        equal(done.failed, [], f"what failed\n{tail(done.said, 60)}")
        check(LACKING not in done.said, tail(done.said, 60))
    return body


def needed(role):
    """So is each action in it, on each kind of object."""
    def body(case):
        s3_only(case)
        for number, (action, resource) in enumerate(pairs(document(role, case.replica()))):
            done = attempt(case, role, f"{role}{number}", lambda policy, n=number: without(policy, *pairs(policy)[n]))
            what = f"{action} on {resource.rpartition(':::')[2].replace(case.replica().prefix, 'PREFIX')}"
            tell(f"without {what}: {', '.join(done.failed)}")
            check(done.failed and action in done.said, f"without {what}: failed: {done.failed}\n{tail(done.said, 60)}")
    return body


def elsewhere(case):
    """Nothing of it reaches beyond its prefix, whatever that begins with."""
    s3_only(case)
    other = case.replica("app2")
    for role in ROLES:
        replica = case.replica("app")
        with allowed(replica, document(role, replica)) as keys:
            case.weir("ls", replica.url, expect=NO_BACKUP, env=keys)
            done = case.weir("ls", other.url, expect=FAILED, env=keys)
            check("s3:ListBucket on the bucket" in done.stderr, done.stderr)
            found = Checked(case, case.path("none.db"), other.url, expect=FAILED, env=keys)
            check({"list", "put"} <= set(found.results("failed")), f"what {role} may not do elsewhere: {found.results('failed')}")


def told(_case):
    """The policy in docs/s3.md is that of the writer."""
    text = (EXAMPLES.parent / "s3.md").read_text(encoding="utf-8").partition("## The smallest policy")[2]
    shown = json.loads(text.partition("```json\n")[2].partition("```")[0])
    equal(shown, json.loads((EXAMPLES / "iam" / "writer.json").read_text(encoding="utf-8")), "the policy in docs/s3.md")


def s3_only(case):
    """Rights are a matter of servers with policies."""
    if case.options.store.kind == "file" or case.options.store.server.kind != "ceph":
        raise Skip("needs a server with bucket policies: --store s3")


def cases(_options):
    """All of them."""
    return [(f"{role}: {what}", make(role)) for role in ROLES for what, make in (("enough", enough), ("needed", needed))] + [
        ("elsewhere", elsewhere), ("the one in docs/s3.md", told)]
