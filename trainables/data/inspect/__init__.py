"""What a look at the files themselves finds: before a study is planned, and in ``assay data check``.

- ``inspection``: every image and mask, opened once; ``mask_statistics``, ``duplicates``, ``bits`` measure
- ``layouts``, ``look_alikes``, ``survey``: which reader fits a folder that nobody described
- ``check``, ``findings``, ``unread``: what is wrong or odd, in sentences; ``contact_sheet`` shows it
"""
