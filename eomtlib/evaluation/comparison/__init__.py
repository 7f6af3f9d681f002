"""Whether the difference of two models on the same images is more than these images' chance."""
