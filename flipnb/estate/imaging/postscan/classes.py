"""Which attributes identify somebody or something: by VR and by the words of an attribute's keyword.

The keywords are those of pydicom's dictionary. This is on purpose not PS3.15's Table E.1-1, by which the engine works:
an attribute that one of the two has forgotten is found by the other.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

Class = Literal[
    "name",
    "identifier",
    "place",
    "device",
    "characteristic",
    "description",
    "uid",
    "date",
    "time",
    "number",
    "binary",
    "text",
]

TEXT_VRS = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})
NUMBER_VRS = frozenset({"AS", "DA", "DS", "DT", "IS", "TM", "UI"})

_IDENTIFIER = re.compile(
    r"(?<!TypeOf)PatientIDs?$|IssuerOf|IDIssuer|Accession|AdmissionID|MedicalRecordLocator|EpisodeID|OrderNumber|InsurancePlan|StudyID$"
    r"|ProcedureI?D$|StepID$|PatientDeathDateInAlternativeCalendar|SpecimenIdentifier|ContainerIdentifier|ContainerComponentID|SlideIdentifier|ClinicalTrial.*I?D$"
    r"|ClinicalTrialSubject|ApprovalNumber|ResultsID|InterpretationID|PassengerID|BoardingPass|RegistrationNumber|BarcodeValue"
    r"|LocalNamespaceEntityID|UniversalEntityID$|HL7InstanceIdentifier|TrackingID$|OwnerID"
)
_PLACE = re.compile(
    r"Institution(?!.*TypeCode)|Department|Address|Telephone|PhoneNumber|Telecom|(?<!SchemeResponsible)Organization$|Residence"
    r"|PatientLocation|ProcedureLocation|StepLocation|StudyLocation|EntererLocation|PerformedLocation|AssignedLocation"
    r"|ClinicalTrial.*Name$|MilitaryRank|BranchOfService|ContactURI|RetrieveURL|RetrieveURI|StorageURL|FolderAccessURI|FileAccessURI"
)
_NAMED = re.compile(
    r"Physician|^Operators|Author$|CameraOwnerName|ContactDisplayName|TopicAuthor|Originator|HangingProtocolCreator"
)
_DEVICE = re.compile(
    r"StationName|AETitle|SerialNumber|DeviceUID|GantryID|GeneratorID|CassetteID|PlateID|DetectorID|XRaySourceID"
    r"|CaptureDeviceID|HardcopyCreationDeviceID|UniqueDeviceIdentifier|DeviceAlternateIdentifier$|ManufacturerDeviceIdentifier"
    r"|TreatmentMachineName|RadiationMachineName|ReceivingAE|RequestingAE|DestinationAE|SourceApplicationEntity|^DeviceLabel$"
)
_CHARACTERISTIC = re.compile(
    r"^Patient(Age|Sex|Size|Weight|SexNeutered|State|ReligiousPreference)$|EthnicGroup$|Occupation|SmokingStatus|PregnancyStatus"
    r"|MedicalAlerts|Allergies|PreMedication|SpecialNeeds|AdditionalPatientHistory"
)
_DESCRIPTION = re.compile(
    r"(Image|Study|Visit|Patient|Frame|Results|Acquisition|Identifying|Request|Procedure|Presentation|ServiceRequest)Comments$"
    r"|CommentsOn|^(Study|Series|RequestedProcedure|PerformedProcedureStep|ScheduledProcedureStep|AdmittingDiagnoses"
    r"|Derivation|DischargeDiagnosis|ServiceEpisode|InterpretationDiagnosis)Description|^ReasonFor(Visit|Study|The)|Impressions|^RequestingService$"
    r"|InterpretationText|^RTPlan(Label|Name|Description)$|^StructureSet(Label|Name|Description)$"
)
_UID_OF_A_KIND = re.compile(
    r"SOPClass|TransferSyntax|CodingSchemeUID|ContextUID|MappingResourceUID|ImplementationClassUID|CreatorUID|CreatorVersionUID"
    r"|SelectorUIValue"
)
_DEVICE_UID = re.compile(r"DeviceUID$|ManufacturerDeviceClassUID")


@lru_cache(maxsize=16384)
def keyword(tag: int) -> str:
    """The attribute's keyword, empty where the dictionary has none."""
    from pydicom.datadict import keyword_for_tag

    return keyword_for_tag(tag)


@lru_cache(maxsize=16384)
def classify(tag: int, vr: str) -> Class:
    """What an element holds, by its VR and its keyword."""
    if vr == "PN":
        return "name"
    if vr == "UI":
        return (
            "text" if _UID_OF_A_KIND.search(keyword(tag)) else "device" if _DEVICE_UID.search(keyword(tag)) else "uid"
        )
    if vr in ("DA", "DT"):
        return "date"
    if vr == "TM":
        return "time"
    name = keyword(tag)
    if name and _CHARACTERISTIC.search(name):
        return "characteristic"
    if vr in ("DS", "IS"):
        return "number"
    if vr not in TEXT_VRS and vr != "AS":
        return "binary"
    for kind, words in _WORDS:
        if name and words.search(name):
            return kind
    return "text"


_WORDS: tuple[tuple[Class, re.Pattern[str]], ...] = (
    ("description", _DESCRIPTION),
    ("device", _DEVICE),
    ("place", _PLACE),
    ("identifier", _IDENTIFIER),
    ("name", _NAMED),
)
