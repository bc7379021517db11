"""What runs the two services: the embedded stack, images and manifests."""
