"""How an archive of images is asked and how it sends: DICOMweb, C-FIND, C-GET, C-MOVE; little of it is believed."""
