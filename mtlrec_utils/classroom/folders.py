"""Where the course's own files stand, for notebooks."""

from mtlrec_utils.folders import course_folder

__all__ = ["course_folder"]
