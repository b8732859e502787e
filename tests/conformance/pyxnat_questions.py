"""What pyxnat finds on a server, as JSON: run by a Python of its own, which has pyxnat and nothing of ours.

Arguments: address, authority's certificate, a folder for files, project; credentials are on the standard input.
"""

import json
import os
import sys

from pyxnat import Interface


def main() -> None:
    address, authority, folder, project = sys.argv[1:]
    user, password = sys.stdin.read().split()
    xnat = Interface(address, user=user, password=password, verify=authority)
    chosen = xnat.select.project(project)
    told = {"projects": xnat.select.projects().get(), "subjects": {}}
    for subject in chosen.subjects():
        sessions = told["subjects"][subject.label()] = {}
        for session in subject.experiments():
            scans = sessions[session.label()] = {
                "type": session.datatype(),
                "uid": session.attrs.get("UID"),
                "scans": {},
            }
            for scan in session.scans():
                files = scan.resource("DICOM").files()
                scans["scans"][scan.id()] = [file.attributes()["Name"] for file in files]
    first = chosen.subject("S1").experiment("S1_CR_1").scan("1").resource("DICOM").file("1.dcm")
    told["downloaded"] = first.get(os.path.join(folder, "first.dcm"))
    told["exists"] = [chosen.subject(label).exists() for label in (*told["subjects"], "NOBODY")]
    print(json.dumps(told))


main()
