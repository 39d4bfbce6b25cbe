"""Commits, pipelines, releases and deployments as GraphQL writes them.

Entered by the fields.
"""

import zlib

from labtrawl.sandbox.graphql.connections import Node
from labtrawl.sandbox.graphql.nodes import Nodes, gid, seconds
from labtrawl.sandbox.model import (
    Commit,
    Deployment,
    Environment,
    Pipeline,
    Project,
    Release,
)


def commit(nodes: Nodes, project: Project, found: Commit) -> Node:
    """A commit."""
    return {
        "id": gid("Commit", found.sha),
        "sha": found.sha,
        "shortId": found.sha[:8],
        "title": found.title,
        "message": found.message,
        "authorName": found.author_name,
        "authorEmail": found.author_email,
        "authoredDate": seconds(found.authored_date),
        "committerName": found.committer_name,
        "committerEmail": found.committer_email,
        "committedDate": seconds(found.committed_date),
        "webUrl": f"{nodes.base}/{project.full_path}/-/commit/{found.sha}",
    }


def pipeline(nodes: Nodes, project: Project, found: Pipeline) -> Node:
    """A pipeline."""
    return {
        "id": gid("Ci::Pipeline", found.id),
        "iid": str(found.iid),
        "sha": found.sha,
        "beforeSha": found.before_sha,
        "ref": found.ref,
        "status": found.status.upper(),
        "source": found.source,
        "name": found.name,
        "createdAt": seconds(found.created_at),
        "updatedAt": seconds(found.updated_at),
        "startedAt": seconds(found.started_at),
        "finishedAt": seconds(found.finished_at),
        "duration": found.duration,
        "coverage": found.coverage,
        "path": f"/{project.full_path}/-/pipelines/{found.id}",
        "user": nodes.user(found.user),
    }


def environment(project: Project, found: Environment) -> Node:
    """An environment."""
    return {
        "id": gid("Environment", found.id),
        "name": found.name,
        "slug": found.slug,
        "state": found.state,
        "tier": found.tier.upper(),
        "environmentType": found.name.partition("/")[0] if "/" in found.name else None,
        "externalUrl": found.external_url,
        "description": found.description,
        "createdAt": seconds(found.created_at),
        "updatedAt": seconds(found.updated_at),
        "autoStopAt": seconds(found.auto_stop_at),
        "_item": found,
        "_project": project.id,
    }


def deployment(nodes: Nodes, found: Deployment) -> Node:
    """A deployment."""
    return {
        "id": gid("Deployment", found.id),
        "iid": str(found.iid),
        "ref": found.ref,
        "sha": found.sha,
        "status": found.status.upper(),
        "tag": found.tag,
        "createdAt": seconds(found.created_at),
        "updatedAt": seconds(found.updated_at),
        "finishedAt": seconds(found.finished_at),
        "triggerer": nodes.user(found.user),
    }


def release(nodes: Nodes, project: Project, found: Release, *, reads_code: bool) -> Node:
    """A release; without its commit for those who may not read the code."""
    links = [
        {
            "id": gid("Releases::Link", number),
            "name": name,
            "url": address,
            "directAssetUrl": address,
            "linkType": "OTHER",
        }
        for number, name, address in found.links
    ]
    seen = reads_code and found.commit is not None
    return {
        "id": gid("Release", zlib.crc32(f"{project.id}/{found.tag_name}".encode())),
        "tagName": found.tag_name,
        "name": found.name,
        "description": found.description,
        "createdAt": seconds(found.created_at),
        "releasedAt": seconds(found.released_at),
        "upcomingRelease": False,
        "author": nodes.user(found.author),
        "commit": commit(nodes, project, found.commit) if seen and found.commit else None,
        "assets": {"count": len(links) + (4 if seen else 0), "_links": links},
        "_item": found,
        "_project": project.id,
    }
