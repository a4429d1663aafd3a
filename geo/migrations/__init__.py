"""The steps by which a catalogue grew, run by `geo.catalogue.migrate`; a step that was released is never changed."""
