"""The pages that a merchant sees. Rendered here; they work without JavaScript, which only adds comfort."""
