"""Pictures: `style` is what they share."""
