"""The stacks and what they are made from: source, wheel, images, dataset."""
