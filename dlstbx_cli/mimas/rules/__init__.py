"""The rules in force, one module per beamline family.

A new beamline is a module with a family of rules named ``handler``, a line in
``registry.OWN`` and one in setup.cfg::

    is_i99 = named("is_i99", BeamlineSpecification("i99"))

    handler = Family("i99", [
        Rule(
            "i99-end",
            when=is_i99 & is_end & ~is_serial,
            recipes=["archive-nexus", "processing-rlv-eiger"],
            jobs=[Job("autoprocessing-fast-dp-eiger", display="fast_dp")],
        ),
    ])

Names of recipes, parameters and values are fixed: other systems match on them literally.
"""
