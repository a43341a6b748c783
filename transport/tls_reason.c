#include <openssl/err.h>
#include <openssl/ssl.h>

#include "transport/tls_inside.h"

struct reason {
    int number;
    const char *text;
};

/* Alerts are what the other side says. */
static const struct reason reasons[] = {
    {SSL_R_WRONG_VERSION_NUMBER, "the other side does not speak TLS"},
    {SSL_R_PACKET_LENGTH_TOO_LONG, "the other side does not speak TLS"},
    {SSL_R_RECORD_LENGTH_MISMATCH, "the other side does not speak TLS"},
    {SSL_R_HTTP_REQUEST, "a plain HTTP request came instead of TLS"},
    {SSL_R_HTTPS_PROXY_REQUEST, "a plain HTTP request came instead of TLS"},
    {SSL_R_UNSUPPORTED_PROTOCOL, "the other side has only versions of TLS that are refused here"},
    {SSL_R_TLSV1_ALERT_PROTOCOL_VERSION, "the other side refuses the versions of TLS offered here"},
    {SSL_R_NO_SHARED_CIPHER, "no cipher suite that both sides have"},
    {SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE, "the other side finds nothing that both sides have"},
    {SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, "the client has no certificate"},
    {SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED, "the server wants a certificate of ours"},
    {SSL_R_TLSV1_ALERT_UNKNOWN_CA, "the other side does not know the authority of our certificate"},
    {SSL_R_SSLV3_ALERT_BAD_CERTIFICATE, "the other side refuses our certificate"},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN, "the other side refuses our certificate"},
    {SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE, "the other side refuses our certificate"},
    {SSL_R_TLSV1_ALERT_ACCESS_DENIED, "the other side refuses our certificate"},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED, "the other side says that our certificate has expired"},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED, "the other side says that our certificate is revoked"},
    {SSL_R_TLSV1_UNRECOGNIZED_NAME, "the server has no certificate for this serverName"},
    {SSL_R_NO_APPLICATION_PROTOCOL, "no alpn that both sides have"},
    {SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL, "no alpn that both sides have"},
    {SSL_R_EE_KEY_TOO_SMALL, "the certificate's key is too small"},
    {SSL_R_CA_KEY_TOO_SMALL, "an authority's key is too small"},
    {SSL_R_CA_MD_TOO_WEAK, "the certificate is signed with a hash that is too weak"},
};

/* A server that does not speak TLS 1.3 has one alert for "no certificate". */
static const char *find(int number, bool server)
{
    if (number == SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE && server)
        return "the client finds nothing that both sides have";
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].number == number)
            return reasons[i].text;
    return NULL;
}

const char *tls_reason(bool server)
{
    unsigned long error = ERR_get_error();
    int number = ERR_GET_REASON(error);
    const char *known = ERR_GET_LIB(error) == ERR_LIB_SSL ? find(number, server) : NULL;
    const char *text = error ? ERR_reason_error_string(error) : NULL;
    ERR_clear_error();
    if (known)
        return known;
    return text ? text : "the handshake failed";
}
