"""From a video, or a robot's keypoints, to measured motion and to how close two motions are."""
