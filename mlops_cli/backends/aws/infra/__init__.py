"""The stacks and their inputs: source, wheel, images, dataset."""
