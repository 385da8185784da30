"""What every room uses: errors, frames, geometry, images."""
