"""The docs as a site: staged from the Markdown of the repository, built by Sphinx, and looked through afterwards."""
