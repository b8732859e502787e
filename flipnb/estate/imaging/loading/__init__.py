"""Files of images through release into the archive, and what rows come of a study of them."""
