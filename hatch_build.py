"""Metadata that depend on where the repository is; pyproject.toml names the place, and nothing else does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_AUTHOR = "The roomrec_async contributors"
# A link or an image of Markdown to a file of the repository: neither an address nor an anchor.
_RELATIVE_LINK = re.compile(r"(!?)(\[[^\]]*\])\((?![a-z]+:|#|/)([^)\s]+)\)")


class CustomMetadataHook(MetadataHookInterface):
    """Adds the author, the project's URLs, and the README with links that work on the package index."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Fill in the dynamic fields."""
        repository = self.config["repository"].rstrip("/")
        author = {"name": _AUTHOR}
        if self.config["contact"]:
            author["email"] = self.config["contact"]
        metadata["authors"] = [author]
        readme = Path(self.root, "README.md").read_text("utf-8")
        if repository:
            metadata["urls"] = project_urls(repository)
            readme = absolute_links(readme, repository, f"v{metadata['version']}")
        metadata["readme"] = {"content-type": "text/markdown", "text": readme}


def project_urls(repository: str) -> dict[str, str]:
    """Return the URLs that the package index shows."""
    return {
        "Homepage": repository,
        "Changelog": f"{repository}/blob/main/CHANGELOG.md",
        "Issues": f"{repository}/issues",
        "Security": f"{repository}/security/policy",
        "Source": repository,
    }


def absolute_links(text: str, repository: str, revision: str) -> str:
    """Return Markdown in which links to files of the repository lead to a revision of it, from everywhere."""

    def absolute(link: re.Match[str]) -> str:
        mark, label, path = link.groups()
        # Images need the file itself, and not the page about it.
        return f"{mark}{label}({repository}/{'raw' if mark else 'blob'}/{revision}/{path})"

    return _RELATIVE_LINK.sub(absolute, text)
