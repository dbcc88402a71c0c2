/* SPDX-License-Identifier: Apache-2.0 */
/* The strict XML parser for bytes from tape: a document type, and with it every entity of its own,
 * stops it. */
#include "tape/ltfs_impl.h"

#include <stdlib.h>
#include <string.h>

static void refuse_doctype(void *user, const XML_Char *name, const XML_Char *sysid,
                           const XML_Char *pubid, int has_internal)
{
    XML_Parser *self = user;
    (void)name;
    (void)sysid;
    (void)pubid;
    (void)has_internal;
    (void)XML_StopParser(*self, XML_FALSE);
}

XML_Parser ltfs_xml_new(void *user)
{
    XML_Parser xml = XML_ParserCreate("UTF-8");
    if (xml == NULL)
        abort();
    XML_SetUserData(xml, user);
    XML_SetStartDoctypeDeclHandler(xml, refuse_doctype);
    return xml;
}

bool ltfs_xml_version_2(const char *version)
{
    return strncmp(version, "2.", 2) == 0 && strspn(version, "0123456789.") == strlen(version);
}
