"""From a video to the subject of its best shot, followed; and what all measures of motion share."""
