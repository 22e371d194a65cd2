"""Files that are complete only once their marker is there: `day.csv` with `day.csv.done`."""

from __future__ import annotations

from collections.abc import Sequence

from app.s3.read import ObjectVersion


class DoneMarkers:
    """Match files with their markers while a prefix is listed in the order of its keys.

    A marker comes after its file, and only keys that begin with the file's whole key lie between them. So of a page only those files
    wait for the next one whose key the page's last key begins with: as many as a key has letters, at the most.

    Args:
        ending: the marker's key is the file's key and this; None: files need no marker.
    """

    def __init__(self, ending: str | None) -> None:
        self._ending = ending
        self._waiting: list[ObjectVersion] = []

    def restart(self) -> None:
        """Begin with the first page again."""
        self._waiting = []

    def complete(
        self, files: Sequence[ObjectVersion], page: Sequence[ObjectVersion], *, more: bool
    ) -> tuple[list[ObjectVersion], list[ObjectVersion]]:
        """Return the files that are complete, and those that are not; the others are told with the next page.

        Args:
            files: the files of the page.
            page: all objects of the page, markers among them.
            more: whether another page follows.
        """
        if self._ending is None:
            return list(files), []
        markers = {version.key: version for version in page if version.key.endswith(self._ending)}
        last = page[-1].key if more and page else None
        complete, incomplete, waiting = [], [], []
        for file in (*self._waiting, *files):
            marker = markers.get(file.key + self._ending)
            # An older marker is that of an earlier version of the file.
            if marker is not None and marker.last_modified >= file.last_modified:
                complete.append(file)
            elif marker is None and last is not None and last.startswith(file.key):
                waiting.append(file)
            else:
                incomplete.append(file)
        self._waiting = waiting
        return complete, incomplete
