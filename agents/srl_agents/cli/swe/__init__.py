"""``srl-env swe``: software-engineering tasks built from a repository, validated, listed."""
