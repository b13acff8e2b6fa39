/** The certificate of HTTPS and its key, two texts in PEM, and whether TLS can be served with them. */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { createSecureContext, type SecureContext } from 'node:tls'
import { trackerError } from './errors.ts'

export interface CertificateTexts {
  /** With its chain, the certificate first. */
  readonly cert: string
  readonly key: string
}

/** What is wrong, and with which of the two. */
export interface CertificateProblem {
  readonly of: keyof CertificateTexts
  readonly why: string
}

/** Throws TRACKER_TLS. */
export function secureContextOf(texts: CertificateTexts): SecureContext {
  const read = readCertificate(texts)
  if (!('why' in read)) return read.context
  throw trackerError('TRACKER_TLS', `certificate and key do not serve: ${read.why}`, {
    mend: 'tls_cert_path is the certificate with its chain, tls_key_path the key of it; both in PEM.',
  })
}

/**
 * That they are a pair is asked before OpenSSL has them: it takes an RSA key beside a certificate of an elliptic curve without a word, and then
 * fails every handshake.
 */
export function readCertificate({
  cert,
  key,
}: CertificateTexts): CertificateProblem | { readonly context: SecureContext } {
  let of: keyof CertificateTexts = 'cert'
  try {
    const certificate = new X509Certificate(cert)
    of = 'key'
    if (!certificate.checkPrivateKey(createPrivateKey(key))) {
      return { of, why: 'it is not the key of the certificate' }
    }
    of = 'cert'
    return { context: createSecureContext({ cert, key, minVersion: 'TLSv1.2' }) }
  } catch (cause) {
    const { message } = cause as Error
    return {
      of,
      why: `no ${of === 'cert' ? 'certificate' : 'key'} in PEM that can be used (${message})`,
    }
  }
}
